-- Admin: who may run the budget, how they log in, and the record of what they did.

create table if not exists private.admins (
  id uuid primary key default gen_random_uuid(),
  username text not null unique check (length(username) between 1 and 100),
  password_hash text not null check (password_hash like '$argon2id$%'),
  version integer not null default 1 check (version > 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
alter table private.admins enable row level security;
comment on table private.admins is 'People who may use the admin API.';
comment on column private.admins.id is 'The admin''s id.';
comment on column private.admins.username is 'Name to log in with.';
comment on column private.admins.password_hash is 'argon2id hash of the password.';
comment on column private.admins.version is 'Tokens carry this number; a new password raises it and ends them all.';
comment on column private.admins.created_at is 'When the admin was created.';
comment on column private.admins.updated_at is 'When the password last changed.';

create table if not exists private.login_attempts (
  scope text not null,
  key text not null,
  attempts integer not null check (attempts >= 0),
  window_ends_at timestamptz not null,
  primary key (scope, key)
);
create index if not exists login_attempts_window_idx on private.login_attempts (window_ends_at);
alter table private.login_attempts enable row level security;
comment on table private.login_attempts is 'Log-in attempts counted before the password is looked at, per address and per account.';
comment on column private.login_attempts.scope is 'What is counted: admin:address, admin:account, or admin:known for an address that has logged in before.';
comment on column private.login_attempts.key is 'The address, the account, or both.';
comment on column private.login_attempts.attempts is 'Attempts in the current window.';
comment on column private.login_attempts.window_ends_at is 'When counting starts anew.';

create table if not exists private.known_addresses (
  account text not null,
  address text not null,
  last_login_at timestamptz not null default now(),
  primary key (account, address)
);
alter table private.known_addresses enable row level security;
comment on table private.known_addresses is 'Addresses an account has logged in from: strangers who try its name cannot use up their attempts.';
comment on column private.known_addresses.account is 'Scope and name of the account.';
comment on column private.known_addresses.address is 'The address.';
comment on column private.known_addresses.last_login_at is 'The last successful log-in from it.';

create table if not exists public.audit_log (
  id bigint generated always as identity primary key,
  actor text not null,
  action text not null,
  target text,
  before jsonb,
  after jsonb,
  request_id text,
  created_at timestamptz not null default now()
);
create index if not exists audit_log_target_idx on public.audit_log (target, id);
alter table public.audit_log enable row level security;
revoke all on table public.audit_log from anon, authenticated, service_role;
comment on table public.audit_log is 'Who did what, written in the same transaction as the act. Append-only, for everybody.';
comment on column public.audit_log.id is 'Counts up.';
comment on column public.audit_log.actor is 'admin:<name> or system:<what>.';
comment on column public.audit_log.action is 'What was done: allocate, transfer, block_device, …';
comment on column public.audit_log.target is 'What it was done to: a device, user, admin or model.';
comment on column public.audit_log.before is 'State before, where it says something.';
comment on column public.audit_log.after is 'State after.';
comment on column public.audit_log.request_id is 'x-request-id of the request that asked for it.';
comment on column public.audit_log.created_at is 'When it was done.';

create or replace trigger audit_log_append_only
  before update or delete or truncate on public.audit_log
  for each statement execute function private.refuse_change();

create or replace function private.audit(
  p_actor text, p_request_id text, p_action text, p_target text, p_before jsonb, p_after jsonb
)
returns void
language sql volatile set search_path = ''
as $$
  insert into public.audit_log (actor, action, target, before, after, request_id)
  values (p_actor, p_action, p_target, p_before, p_after, p_request_id)
$$;
revoke all on function private.audit(text, text, text, text, jsonb, jsonb) from public, anon, authenticated, service_role;
comment on function private.audit(text, text, text, text, jsonb, jsonb) is 'Writes one line of the audit log.';

-- Every admin function begins with this: the right is asked for in the transaction that uses it.
create or replace function private.require_admin(p_actor jsonb)
returns text
language plpgsql stable set search_path = ''
as $$
declare
  v_username text;
begin
  select a.username into v_username from private.admins a
   where a.id = (p_actor ->> 'id')::uuid and a.version = (p_actor ->> 'version')::integer;
  if v_username is null then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  return 'admin:' || v_username;
end
$$;
revoke all on function private.require_admin(jsonb) from public, anon, authenticated, service_role;
comment on function private.require_admin(jsonb) is
  'The name to record for the admin {id, version, request_id}; raises INVALID_TOKEN for one who was removed or changed the password.';

create or replace function public.create_first_admin(p_username text, p_password_hash text)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: private.admins is open to no API role.
begin
  -- Servers that start together agree on one first admin.
  lock table private.admins in share row exclusive mode;
  if exists (select from private.admins) then
    return false;
  end if;
  insert into private.admins (username, password_hash) values (p_username, p_password_hash);
  perform private.audit('system:start', null, 'create_admin', p_username, null, null);
  return true;
end
$$;
revoke all on function public.create_first_admin(text, text) from public, anon, authenticated, service_role;
grant execute on function public.create_first_admin(text, text) to service_role;
comment on function public.create_first_admin(text, text) is
  'Creates the first admin; answers false and changes nothing where one exists already.';

create or replace function public.has_admin()
returns boolean
language sql stable security definer set search_path = ''
as $$ select exists (select from private.admins) $$;
-- Definer: private.admins is open to no API role.
revoke all on function public.has_admin() from public, anon, authenticated, service_role;
grant execute on function public.has_admin() to service_role;
comment on function public.has_admin() is 'Whether anybody can log in as admin yet.';

-- Counts one attempt in a window; answers the seconds to wait where the limit is passed, or null.
create or replace function private.count_attempt(p_scope text, p_key text, p_limit integer, p_window interval)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_counter private.login_attempts;
begin
  insert into private.login_attempts as c (scope, key, attempts, window_ends_at)
  values (p_scope, p_key, 1, now() + p_window)
  on conflict (scope, key) do update
    set attempts = case when c.window_ends_at <= now() then 1 else c.attempts + 1 end,
        window_ends_at = case when c.window_ends_at <= now() then now() + p_window else c.window_ends_at end
  returning * into v_counter;
  return case
    when v_counter.attempts > p_limit then ceil(extract(epoch from v_counter.window_ends_at - now()))::integer
  end;
end
$$;
revoke all on function private.count_attempt(text, text, integer, interval) from public, anon, authenticated, service_role;
comment on function private.count_attempt(text, text, integer, interval) is
  'Counts an attempt; answers null, or after how many seconds to try again.';

create or replace function public.begin_admin_login(p_username text, p_address text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads password hashes and counters, which no API role may.
declare
  v_wait integer;
  v_admin private.admins;
begin
  -- Strangers share the account's attempts; an address that has logged in before has its own, so that nobody
  -- can lock the real admin out by trying.
  if exists (select from private.known_addresses where account = 'admin:' || p_username and address = p_address) then
    v_wait := private.count_attempt('admin:known', p_username || ' ' || p_address, 20, interval '15 minutes');
  else
    v_wait := greatest(
      private.count_attempt('admin:address', p_address, 20, interval '15 minutes'),
      private.count_attempt('admin:account', p_username, 10, interval '1 minute')
    );
  end if;
  if v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  select * into v_admin from private.admins where username = p_username;
  return jsonb_build_object(
    'allowed', true, 'id', v_admin.id, 'version', v_admin.version, 'password_hash', v_admin.password_hash
  );
end
$$;
revoke all on function public.begin_admin_login(text, text) from public, anon, authenticated, service_role;
grant execute on function public.begin_admin_login(text, text) to service_role;
comment on function public.begin_admin_login(text, text) is
  'Counts a log-in attempt before any hashing. Answers {allowed, retry_after} or {allowed, id, version, password_hash}, nulls for an unknown name.';

create or replace function public.finish_admin_login(p_username text, p_address text)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes counters, which no API role may.
begin
  insert into private.known_addresses (account, address) values ('admin:' || p_username, p_address)
  on conflict (account, address) do update set last_login_at = now();
  delete from private.login_attempts
   where (scope, key) in (('admin:address', p_address), ('admin:known', p_username || ' ' || p_address));
  return true;
end
$$;
revoke all on function public.finish_admin_login(text, text) from public, anon, authenticated, service_role;
grant execute on function public.finish_admin_login(text, text) to service_role;
comment on function public.finish_admin_login(text, text) is
  'After the right password: remembers the address and forgets its failed attempts.';

create or replace function public.admin_credentials(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads a password hash, which no API role may.
begin
  perform private.require_admin(p_actor);
  return (
    select jsonb_build_object('username', a.username, 'password_hash', a.password_hash)
      from private.admins a where a.id = (p_actor ->> 'id')::uuid
  );
end
$$;
revoke all on function public.admin_credentials(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.admin_credentials(jsonb) to service_role;
comment on function public.admin_credentials(jsonb) is 'The calling admin''s own {username, password_hash}, to check the old password with.';

create or replace function public.change_admin_password(p_actor jsonb, p_password_hash text)
returns integer
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes private.admins, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_version integer;
begin
  update private.admins
     set password_hash = p_password_hash, version = version + 1, updated_at = now()
   where id = (p_actor ->> 'id')::uuid and version = (p_actor ->> 'version')::integer
  returning version into v_version;
  if v_version is null then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  perform private.audit(v_actor, p_actor ->> 'request_id', 'change_password', v_actor, null, null);
  return v_version;
end
$$;
revoke all on function public.change_admin_password(jsonb, text) from public, anon, authenticated, service_role;
grant execute on function public.change_admin_password(jsonb, text) to service_role;
comment on function public.change_admin_password(jsonb, text) is
  'Sets the calling admin''s password and ends all their tokens; answers the new token version.';

-- The operator's command works on admins by name.
create or replace function public.manage_admin(p_command text, p_username text, p_password_hash text default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: private.admins is open to no API role.
declare
  v_changed integer := 0;
begin
  lock table private.admins in share row exclusive mode;
  if p_command = 'create' then
    insert into private.admins (username, password_hash) values (p_username, p_password_hash)
    on conflict (username) do nothing;
    get diagnostics v_changed = row_count;
  elsif p_command = 'passwd' then
    update private.admins set password_hash = p_password_hash, version = version + 1, updated_at = now()
     where username = p_username;
    get diagnostics v_changed = row_count;
  elsif p_command = 'remove' then
    delete from private.admins where username = p_username and (select count(*) from private.admins) > 1;
    get diagnostics v_changed = row_count;
  end if;
  if v_changed > 0 then
    perform private.audit('system:command', null, p_command || '_admin', p_username, null, null);
  end if;
  return jsonb_build_object(
    'changed', v_changed > 0,
    'admins', (
      select coalesce(jsonb_agg(jsonb_build_object('username', a.username, 'created_at', a.created_at) order by a.username), '[]')
        from private.admins a
    )
  );
end
$$;
revoke all on function public.manage_admin(text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.manage_admin(text, text, text) to service_role;
comment on function public.manage_admin(text, text, text) is
  'For the operator''s command: create, passwd, remove (never the last one) or list. Answers {changed, admins}.';
