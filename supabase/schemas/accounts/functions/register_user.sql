create or replace function public.register_user(
  p_email text, p_password_hash text, p_default_tokens bigint, p_sign_up text, p_session jsonb,
  p_name text default null, p_invitation_hash text default null, p_verification_hash text default null,
  p_mail text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes users, credentials, balances and sessions, which no API role may.
declare
  v_user public.users;
begin
  if p_sign_up = 'closed' then
    raise sqlstate 'PT403' using message = 'SIGNUP_CLOSED';
  elsif p_sign_up = 'invite' and p_invitation_hash is null then
    raise sqlstate 'PT403' using message = 'INVITATION_REQUIRED';
  end if;
  v_user := private.create_account(p_email, p_name, null);
  if v_user.id is null then
    raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
  end if;
  insert into private.user_credentials (user_id, password_hash) values (v_user.id, p_password_hash);
  if p_invitation_hash is not null then
    perform private.redeem_invitation(v_user, p_invitation_hash);
  end if;
  select u.* into v_user from public.users u where u.id = v_user.id;
  if p_sign_up = 'open' or v_user.email_verified_at is not null then
    perform private.grant_default_tokens(v_user.id, p_default_tokens, 'system:registration');
  end if;
  if v_user.email_verified_at is null and p_verification_hash is not null
     and private.mail_wait('mail:link', p_email) is null
  then
    perform private.keep_verification(p_email, v_user.id, p_verification_hash);
    perform private.queue_mail('email_verification', p_email, v_user.id, p_mail, interval '24 hours');
  end if;
  return private.open_session(v_user.id, p_session - 'network');
end
$$;
grant execute on function public.register_user(text, text, bigint, text, jsonb, text, text, text, text) to service_role;
comment on function public.register_user(text, text, bigint, text, jsonb, text, text, text, text) is
  'Creates an account with a password where p_sign_up (open, verified, invite, closed) or an invitation lets it, and logs it in; its default tokens come at once where sign-up is open, else with the proof of the address. The sealed mail with the link is queued, at most 3 in 15 minutes to one address. Returns what open_session does; raises SIGNUP_CLOSED, INVITATION_REQUIRED, INVITATION_INVALID, EMAIL_TAKEN.';
