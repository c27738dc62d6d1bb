-- Users: the profile, the password, and the end of an account.

create or replace function private.profile_json(p_user public.users)
returns jsonb
language sql stable set search_path = ''
as $$
  select private.user_json(p_user) || jsonb_build_object(
    'email_verified', p_user.email_verified_at is not null,
    'has_password', exists (select from private.user_credentials c where c.user_id = p_user.id),
    'providers', (
      select coalesce(jsonb_agg(i.provider order by i.provider), '[]')
        from private.external_identities i where i.user_id = p_user.id
    )
  )
$$;
revoke all on function private.profile_json(public.users) from public, anon, authenticated, service_role;
comment on function private.profile_json(public.users) is 'An account as its owner sees it: with its balance and the ways to sign in.';

-- Begins what adds to an account or changes how it is opened. These wait for each other, for a deletion and for whoever
-- takes the account over, and only then ask whether the caller's session still is.
create or replace function private.lock_user(p_caller jsonb)
returns uuid
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.users u where u.id = (p_caller ->> 'id')::uuid for no key update;
  return private.require_user(p_caller);
end
$$;
revoke all on function private.lock_user(jsonb) from public, anon, authenticated, service_role;
comment on function private.lock_user(jsonb) is
  'require_user, with the account locked until the transaction ends.';

create or replace function public.get_profile(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: whether there is a password, and with which providers, is open to no API role.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return (select private.profile_json(u) from public.users u where u.id = v_user_id);
end
$$;
revoke all on function public.get_profile(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.get_profile(jsonb) to service_role;
comment on function public.get_profile(jsonb) is 'The caller''s profile.';

create or replace function public.update_profile(p_caller jsonb, p_changes jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
  v_user public.users;
begin
  update public.users u
     set name = case when p_changes ? 'name' then p_changes ->> 'name' else u.name end,
         picture = case when p_changes ? 'picture' then p_changes ->> 'picture' else u.picture end,
         updated_at = now()
   where u.id = v_user_id
  returning * into v_user;
  return private.profile_json(v_user);
end
$$;
revoke all on function public.update_profile(jsonb, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.update_profile(jsonb, jsonb) to service_role;
comment on function public.update_profile(jsonb, jsonb) is
  'Changes name and picture where {name, picture} has them, null to clear. Answers the profile.';

create or replace function public.begin_password_change(p_caller jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads a password hash and counts attempts, which no API role may.
declare
  v_user_id uuid := private.require_user(p_caller);
  v_wait integer := private.count_attempt('user:password', v_user_id::text, 10, interval '15 minutes');
begin
  if v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  return jsonb_build_object(
    'allowed', true,
    'password_hash', (select c.password_hash from private.user_credentials c where c.user_id = v_user_id)
  );
end
$$;
revoke all on function public.begin_password_change(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.begin_password_change(jsonb) to service_role;
comment on function public.begin_password_change(jsonb) is
  'Counts an attempt before any hashing. Answers {allowed, retry_after} or {allowed, password_hash}, null for an account without a password.';

create or replace function public.change_password(p_caller jsonb, p_password_hash text, p_verified_hash text default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes credentials and sessions, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  -- Of two changes at once the second finds another hash than the one its current password was checked against.
  if p_verified_hash is null then
    insert into private.user_credentials (user_id, password_hash) values (v_user_id, p_password_hash)
    on conflict (user_id) do nothing;
  else
    update private.user_credentials set password_hash = p_password_hash, updated_at = now()
     where user_id = v_user_id and password_hash = p_verified_hash;
  end if;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  delete from private.login_attempts where scope = 'user:password' and key = v_user_id::text;
  delete from private.password_resets where user_id = v_user_id;
  return jsonb_build_object('ended', private.end_sessions(v_user_id, (p_caller ->> 'session_id')::uuid));
end
$$;
revoke all on function public.change_password(jsonb, text, text) from public, anon, authenticated, service_role;
grant execute on function public.change_password(jsonb, text, text) to service_role;
comment on function public.change_password(jsonb, text, text) is
  'Sets the password where it still is the verified one, or the first one where none was verified, and ends every other session and mailed links. Answers {ended}; raises INVALID_CREDENTIALS.';

-- The audit log can never be cleaned, so an account is named in it by its id only.
create or replace function public.create_user(
  p_actor jsonb, p_email text, p_default_tokens bigint, p_name text default null, p_password_hash text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users, credentials and balances, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_user public.users := private.create_account(p_email, p_name, null, p_default_tokens, v_actor);
begin
  if v_user.id is null then
    raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
  end if;
  if p_password_hash is not null then
    insert into private.user_credentials (user_id, password_hash) values (v_user.id, p_password_hash);
  end if;
  perform private.audit(
    v_actor, p_actor ->> 'request_id', 'create_user', 'user:' || v_user.id, null, private.balance_json(v_user.id)
  );
  return private.user_json(v_user);
end
$$;
