-- The caller holds the account.
create or replace function private.request_email_change(
  p_caller jsonb, p_email text, p_token_hash text, p_mail text, p_notice text
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_user_id uuid := (p_caller ->> 'id')::uuid;
  v_wait integer;
begin
  perform private.require_fresh(p_caller);
  if p_token_hash is null then
    raise sqlstate 'PT503' using message = 'MAIL_DISABLED';
  end if;
  delete from private.email_changes c where c.user_id = v_user_id;
  delete from private.mails m where m.subject_id = v_user_id and m.kind = 'email_change';
  -- Who asks for the address they have, wants to keep it.
  if exists (select from public.users u where u.id = v_user_id and u.email = p_email) then
    return;
  end if;
  if exists (select from public.users u where u.email = p_email) then
    raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
  end if;
  v_wait := greatest(
    private.count_attempt('email:change', v_user_id::text, 5, interval '1 hour'), private.mail_wait('mail:link', p_email)
  );
  if v_wait is not null then
    raise sqlstate 'PT429' using message = 'RATE_LIMITED', detail = jsonb_build_object('retry_after', v_wait)::text;
  end if;
  insert into private.email_changes (user_id, email, token_hash, expires_at)
  values (v_user_id, p_email, decode(p_token_hash, 'hex'), now() + interval '24 hours');
  perform private.queue_mail('email_change', p_email, v_user_id, p_mail, interval '24 hours');
  perform private.queue_mail('notice', (select u.email from public.users u where u.id = v_user_id), v_user_id, p_notice, interval '24 hours');
end
$$;
comment on function private.request_email_change(jsonb, text, text, text, text) is
  'Makes this token (SHA-256, hex) the one that gives the account another address, for 24 hours; at most 5 an hour, and 3 in 15 minutes to one address. Queues the sealed mail to the new address and the notice to the present one. Raises EMAIL_TAKEN, PROOF_REQUIRED, RATE_LIMITED, and MAIL_DISABLED without a token.';
