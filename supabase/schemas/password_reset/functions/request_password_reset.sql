create or replace function public.request_password_reset(p_email text, p_token_hash text, p_mail text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes links, mails and counters, which no API role may.
declare
  v_user_id uuid;
begin
  -- Past the limit the link mailed before stays good: a stranger who keeps asking cannot take it from its owner.
  if private.mail_wait('mail:reset', p_email) is not null then
    return jsonb_build_object('asked', true);
  end if;
  -- The account before its link, as where the account is deleted.
  select u.id into v_user_id from public.users u where u.email = p_email for key share;
  insert into private.password_resets as r (email, user_id, token_hash, requested_at, expires_at)
  values (p_email, v_user_id, decode(p_token_hash, 'hex'), now(), now() + interval '30 minutes')
  on conflict (email) do update
    set user_id = excluded.user_id, token_hash = excluded.token_hash,
        requested_at = excluded.requested_at, expires_at = excluded.expires_at;
  perform private.queue_mail('password_reset', case when v_user_id is not null then p_email end, v_user_id, p_mail, interval '30 minutes');
  return jsonb_build_object('asked', true);
end
$$;
grant execute on function public.request_password_reset(text, text, text) to service_role;
comment on function public.request_password_reset(text, text, text) is
  'Makes this token (SHA-256, hex) the address''s only one for 30 minutes; at most 3 in 15 minutes. Queues the sealed mail where there is an account, and returns the same either way.';
