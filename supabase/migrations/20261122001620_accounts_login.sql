-- Accounts, log-in: registering, and logging in with limits that are counted before any password is hashed.

-- Strangers share an account's attempts; an address that has logged in before has its own, so that nobody can lock
-- the owner out by trying.
create or replace function private.login_wait(p_realm text, p_account text, p_address text)
returns integer
language plpgsql volatile set search_path = ''
as $$
begin
  if exists (
    select from private.known_addresses where account = p_realm || ':' || p_account and address = p_address
  ) then
    return private.count_attempt(p_realm || ':known', p_account || ' ' || p_address, 20, interval '15 minutes');
  end if;
  return greatest(
    private.count_attempt(p_realm || ':address', p_address, 20, interval '15 minutes'),
    private.count_attempt(p_realm || ':account', p_account, 10, interval '1 minute')
  );
end
$$;
revoke all on function private.login_wait(text, text, text) from public, anon, authenticated, service_role;
comment on function private.login_wait(text, text, text) is
  'Counts a log-in attempt at an account of a realm (admin, user) from an address; answers null, or the seconds to wait.';

create or replace function private.login_succeeded(p_realm text, p_account text, p_address text)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  insert into private.known_addresses (account, address) values (p_realm || ':' || p_account, p_address)
  on conflict (account, address) do update set last_login_at = now();
  delete from private.login_attempts
   where (scope, key) in (
     (p_realm || ':address', p_address), (p_realm || ':known', p_account || ' ' || p_address)
   );
end
$$;
revoke all on function private.login_succeeded(text, text, text) from public, anon, authenticated, service_role;
comment on function private.login_succeeded(text, text, text) is
  'After the right password: remembers the address and forgets its failed attempts.';
comment on column private.login_attempts.scope is
  'What is counted: admin: or user: followed by address, account, or known for an address that has logged in before; and others.';

create or replace function public.begin_admin_login(p_username text, p_address text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads password hashes and counters, which no API role may.
declare
  v_wait integer := private.login_wait('admin', p_username, p_address);
  v_admin private.admins;
begin
  if v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  select * into v_admin from private.admins where username = p_username;
  return jsonb_build_object(
    'allowed', true, 'id', v_admin.id, 'version', v_admin.version, 'password_hash', v_admin.password_hash
  );
end
$$;

create or replace function public.finish_admin_login(p_username text, p_address text)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes counters, which no API role may.
begin
  perform private.login_succeeded('admin', p_username, p_address);
  return true;
end
$$;

create or replace function public.register_user(
  p_email text, p_password_hash text, p_default_tokens bigint, p_session jsonb, p_name text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes users, credentials, balances and sessions, which no API role may.
declare
  v_user public.users := private.create_account(p_email, p_name, null, p_default_tokens, 'system:registration');
begin
  if v_user.id is null then
    raise sqlstate 'PT409' using message = 'EMAIL_TAKEN';
  end if;
  insert into private.user_credentials (user_id, password_hash) values (v_user.id, p_password_hash);
  return private.open_session(v_user.id, p_session);
end
$$;
revoke all on function public.register_user(text, text, bigint, jsonb, text) from public, anon, authenticated, service_role;
grant execute on function public.register_user(text, text, bigint, jsonb, text) to service_role;
comment on function public.register_user(text, text, bigint, jsonb, text) is
  'Creates an account with a password and its default tokens, and logs it in. Answers {session_id, user}; raises EMAIL_TAKEN.';

create or replace function public.begin_user_login(p_email text, p_address text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads password hashes and counters, which no API role may.
declare
  v_user_id uuid;
  v_password_hash text;
  v_wait integer;
begin
  select u.id, c.password_hash into v_user_id, v_password_hash
    from public.users u left join private.user_credentials c on c.user_id = u.id
   where u.email = p_email;
  v_wait := private.login_wait('user', coalesce(v_user_id::text, p_email), p_address);
  if v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  return jsonb_build_object('allowed', true, 'user_id', v_user_id, 'password_hash', v_password_hash);
end
$$;
revoke all on function public.begin_user_login(text, text) from public, anon, authenticated, service_role;
grant execute on function public.begin_user_login(text, text) to service_role;
comment on function public.begin_user_login(text, text) is
  'Counts a log-in attempt before any hashing. Answers {allowed, retry_after} or {allowed, user_id, password_hash}, nulls for an unknown address or an account without password.';

create or replace function public.finish_user_login(
  p_user_id uuid, p_password_hash text, p_address text, p_session jsonb
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions and counters, which no API role may.
begin
  -- The hash the password was checked against must still be the account's; the lock lets no change slip between.
  perform from private.user_credentials c
   where c.user_id = p_user_id and c.password_hash = p_password_hash
     for share;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  perform private.login_succeeded('user', p_user_id::text, p_address);
  return private.open_session(p_user_id, p_session);
end
$$;
revoke all on function public.finish_user_login(uuid, text, text, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.finish_user_login(uuid, text, text, jsonb) to service_role;
comment on function public.finish_user_login(uuid, text, text, jsonb) is
  'After the right password: opens a session, if the password is still that one. Answers {session_id, user}; raises INVALID_CREDENTIALS.';
