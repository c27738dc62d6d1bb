-- An address is mailed so many links of each kind, whatever accounts come and go there.

set check_function_bodies = off;

-- Kept by a digest, which stays when an account is deleted: otherwise registering and deleting would mail without end.
create or replace function private.mail_wait(p_scope text, p_email text)
returns integer
language plpgsql volatile set search_path = ''
as $$
begin
  return private.count_attempt(p_scope, encode(private.identity_digest('email ' || p_email), 'hex'), 3, interval '15 minutes');
end
$$;
comment on function private.mail_wait(text, text) is
  'Counts a mail of one kind to an address, 3 in 15 minutes; returns null where it may be sent, or the seconds to wait.';

-- The caller holds the account.
create or replace function private.request_email_change(p_caller jsonb, p_email text, p_token_hash text)
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
end
$$;
comment on function private.request_email_change(jsonb, text, text) is
  'Makes this token (SHA-256, hex) the one that gives the account another address, for 24 hours; at most 5 an hour, and 3 in 15 minutes to one address. Raises EMAIL_TAKEN, PROOF_REQUIRED, RATE_LIMITED, and MAIL_DISABLED without a token.';

create or replace function public.register_user(
  p_email text, p_password_hash text, p_default_tokens bigint, p_sign_up text, p_session jsonb,
  p_name text default null, p_invitation_hash text default null, p_verification_hash text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes users, credentials, balances and sessions, which no API role may.
declare
  v_user public.users;
  v_mails_link boolean := false;
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
  if v_user.email_verified_at is null and p_verification_hash is not null then
    v_mails_link := private.mail_wait('mail:link', p_email) is null;
  end if;
  if v_mails_link then
    perform private.keep_verification(p_email, v_user.id, p_verification_hash);
  end if;
  return private.open_session(v_user.id, p_session - 'network') || jsonb_build_object('mails_link', v_mails_link);
end
$$;
grant execute on function public.register_user(text, text, bigint, text, jsonb, text, text, text) to service_role;
comment on function public.register_user(text, text, bigint, text, jsonb, text, text, text) is
  'Creates an account with a password where p_sign_up (open, verified, invite, closed) or an invitation lets it, and logs it in; its default tokens come at once where sign-up is open, else with the proof of the address. Returns {session_id, user, mails_link}: whether the link is to be mailed, at most 3 in 15 minutes to one address; raises SIGNUP_CLOSED, INVITATION_REQUIRED, INVITATION_INVALID, EMAIL_TAKEN.';

create or replace function public.request_email_verification(p_email text, p_token_hash text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes links and counters, which no API role may.
declare
  v_user_id uuid;
begin
  -- Past the limit the link mailed before stays good: a stranger who keeps asking cannot take it from its owner.
  if private.mail_wait('mail:verification', p_email) is not null then
    return jsonb_build_object('mail_to', null);
  end if;
  -- The account before its link, as where the account is deleted.
  select u.id into v_user_id from public.users u where u.email = p_email and u.email_verified_at is null for key share;
  perform private.keep_verification(p_email, v_user_id, p_token_hash);
  return jsonb_build_object('mail_to', case when v_user_id is not null then p_email end);
end
$$;
grant execute on function public.request_email_verification(text, text) to service_role;
comment on function public.request_email_verification(text, text) is
  'Makes this token (SHA-256, hex) the address''s only one for 24 hours; at most 3 in 15 minutes. Returns {mail_to}: the address, or null for no mail.';

create or replace function public.request_password_reset(p_email text, p_token_hash text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes private.password_resets and counters, which no API role may.
declare
  v_user_id uuid;
begin
  -- Past the limit the link mailed before stays good: a stranger who keeps asking cannot take it from its owner.
  if private.mail_wait('mail:reset', p_email) is not null then
    return jsonb_build_object('mail_to', null);
  end if;
  -- The account before its link, as where the account is deleted.
  select u.id into v_user_id from public.users u where u.email = p_email for key share;
  insert into private.password_resets as r (email, user_id, token_hash, requested_at, expires_at)
  values (p_email, v_user_id, decode(p_token_hash, 'hex'), now(), now() + interval '30 minutes')
  on conflict (email) do update
    set user_id = excluded.user_id, token_hash = excluded.token_hash,
        requested_at = excluded.requested_at, expires_at = excluded.expires_at;
  return jsonb_build_object('mail_to', case when v_user_id is not null then p_email end);
end
$$;
grant execute on function public.request_password_reset(text, text) to service_role;
comment on function public.request_password_reset(text, text) is
  'Makes this token (SHA-256, hex) the address''s only one for 30 minutes; at most 3 in 15 minutes. Returns {mail_to}: the address, or null for no mail.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127221401', '4dbba7724adcc0d85447231b0639e2decbc3cda10dc646921417726f126f92e6');
