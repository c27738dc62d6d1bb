create or replace function public.request_email_verification(p_email text, p_token_hash text, p_mail text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes links, mails and counters, which no API role may.
declare
  v_user_id uuid;
begin
  -- Past the limit the link mailed before stays good: a stranger who keeps asking cannot take it from its owner.
  if private.mail_wait('mail:verification', p_email) is not null then
    return jsonb_build_object('asked', true);
  end if;
  -- The account before its link, as where the account is deleted.
  select u.id into v_user_id from public.users u where u.email = p_email and u.email_verified_at is null for key share;
  perform private.keep_verification(p_email, v_user_id, p_token_hash);
  perform private.queue_mail('email_verification', case when v_user_id is not null then p_email end, v_user_id, p_mail, interval '24 hours');
  return jsonb_build_object('asked', true);
end
$$;
grant execute on function public.request_email_verification(text, text, text) to service_role;
comment on function public.request_email_verification(text, text, text) is
  'Makes this token (SHA-256, hex) the address''s only one for 24 hours; at most 3 in 15 minutes. Queues the sealed mail where an account waits for it, and returns the same either way.';
