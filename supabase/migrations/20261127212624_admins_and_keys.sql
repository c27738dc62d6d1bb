-- API keys get scopes, admins roles, sessions and second factors, accounts can be suspended, and passwords a renewed hash.

alter table public.users add column if not exists suspended_at timestamptz;
comment on column public.users.suspended_at is
  'Since when an admin keeps the account from everything; null for an account in good standing.';

-- Keys that exist go on, without what opens the account itself.
alter table private.api_keys
  add column if not exists scopes text[] not null default array['usage:write', 'usage:read', 'chat', 'settings']
  constraint api_keys_scopes_known check (
    cardinality(scopes) > 0 and scopes <@ array['usage:write', 'usage:read', 'chat', 'settings', 'account']
  );
comment on column private.api_keys.scopes is 'What it opens: usage:write, usage:read, chat, settings, or account, which is everything.';

-- Admins that exist may go on doing everything; their tokens name no session, so they log in again.
alter table private.admins add column if not exists role text not null default 'owner'
  constraint admins_role_known check (role in ('viewer', 'operator', 'owner'));
comment on column private.admins.role is 'viewer reads, operator also acts, owner also manages admins.';

create table if not exists private.admin_sessions (
  id uuid primary key default gen_random_uuid(),
  admin_id uuid not null references private.admins (id) on delete cascade,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  user_agent text check (length(user_agent) <= 300),
  address text check (length(address) <= 100),
  second_factor boolean not null default false
);
create index if not exists admin_sessions_admin_idx on private.admin_sessions (admin_id, created_at, id);
create index if not exists admin_sessions_expiry_idx on private.admin_sessions (expires_at);
comment on table private.admin_sessions is 'One row a log-in of an admin. Deleting it ends its token.';
comment on column private.admin_sessions.id is 'The session''s id, in its token.';
comment on column private.admin_sessions.admin_id is 'The admin.';
comment on column private.admin_sessions.created_at is 'When the admin logged in.';
comment on column private.admin_sessions.expires_at is 'When it ends.';
comment on column private.admin_sessions.user_agent is 'The program that logged in, as it names itself.';
comment on column private.admin_sessions.address is 'The network address it logged in from.';
comment on column private.admin_sessions.second_factor is 'Whether a second factor was shown.';

create table if not exists private.admin_second_factors (
  admin_id uuid primary key references private.admins (id) on delete cascade,
  secret text not null check (length(secret) between 16 and 128),
  created_at timestamptz not null default now(),
  confirmed_at timestamptz,
  last_step bigint not null default 0
);
comment on table private.admin_second_factors is 'Second factors of admins: time-based one-time passwords (RFC 6238).';
comment on column private.admin_second_factors.admin_id is 'The admin.';
comment on column private.admin_second_factors.secret is 'The shared secret in base32.';
comment on column private.admin_second_factors.created_at is 'When it was made.';
comment on column private.admin_second_factors.confirmed_at is 'When a first code was shown; null while it is being set up and asks nobody for a code.';
comment on column private.admin_second_factors.last_step is 'The time step of the newest code that was used: neither it nor an earlier one is good again.';

create table if not exists private.admin_recovery_codes (
  admin_id uuid not null references private.admins (id) on delete cascade,
  code_hash bytea not null check (length(code_hash) = 32),
  primary key (admin_id, code_hash)
);
comment on table private.admin_recovery_codes is 'Codes that stand in for a lost second factor. Using one deletes its row.';
comment on column private.admin_recovery_codes.admin_id is 'The admin.';
comment on column private.admin_recovery_codes.code_hash is 'SHA-256 of the code, which has 80 random bits and was shown once.';

alter table public.audit_log add column if not exists address text check (length(address) <= 100);
comment on column public.audit_log.address is 'Network address an admin''s request came from; null for everybody else, as this log can never be cleaned of what is personal.';
alter table private.admin_sessions enable row level security;
alter table private.admin_second_factors enable row level security;
alter table private.admin_recovery_codes enable row level security;

set check_function_bodies = off;

drop function if exists private.audit(p_actor text, p_request_id text, p_action text, p_target text, p_before jsonb, p_after jsonb);

drop function if exists private.is_credential_valid(p_user_id uuid, p_session_id uuid, p_api_key_id uuid);

drop function if exists private.lock_user(p_caller jsonb);

drop function if exists private.require_admin(p_actor jsonb);

drop function if exists private.require_user(p_caller jsonb);

drop function if exists public.admin_credentials(p_actor jsonb);

drop function if exists public.change_admin_password(p_actor jsonb, p_password_hash text);

drop function if exists public.change_password(p_caller jsonb, p_password_hash text, p_verified_hash text);

drop function if exists public.confirm_user(p_caller jsonb);

drop function if exists public.create_api_key(p_caller jsonb, p_name text, p_prefix text, p_key_hash text, p_expires_at text);

drop function if exists public.finish_admin_login(p_username text, p_address text);

drop function if exists public.finish_user_login(p_user_id uuid, p_password_hash text, p_address text, p_session jsonb);

drop function if exists public.manage_admin(p_command text, p_username text, p_password_hash text);

drop function if exists public.require_current_user();

drop function if exists public.reset_password(p_token_hash text, p_password_hash text);

create or replace function private.account_json(p_user_id uuid)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
declare
  v_account jsonb;
begin
  select private.user_json(u) || jsonb_build_object(
           'email_verified', u.email_verified_at is not null, 'suspended_at', u.suspended_at,
           'tier', coalesce((select public.effective_tier(s) from public.subscriptions s where s.user_id = u.id), 'free'),
           'devices', (select count(*) from public.devices d where d.user_id = u.id and d.deleted_at is null),
           'sessions', (select count(*) from private.sessions s where s.user_id = u.id and s.expires_at > now()),
           'api_keys', (select count(*) from private.api_keys k where k.user_id = u.id)
         )
    into v_account
    from public.users u where u.id = p_user_id;
  if v_account is null then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  return v_account;
end
$$;
comment on function private.account_json(uuid) is
  'Returns an account as admins see it, with its standing, tier and how many devices, sessions and keys it has; raises USER_NOT_FOUND.';

create or replace function private.admin_json(p_admin private.admins)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
    'id', p_admin.id, 'username', p_admin.username, 'role', p_admin.role, 'created_at', p_admin.created_at,
    'second_factor', exists (
      select from private.admin_second_factors f where f.admin_id = p_admin.id and f.confirmed_at is not null
    ),
    'sessions', (
      select count(*) from private.admin_sessions s where s.admin_id = p_admin.id and s.expires_at > now()
    )
  )
$$;
comment on function private.admin_json(private.admins) is 'Returns an admin as owners see them, without secrets.';

create or replace function private.api_key_json(p_key private.api_keys)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
    'id', p_key.id, 'name', p_key.name, 'prefix', p_key.prefix, 'created_at', p_key.created_at,
    'last_used_at', p_key.last_used_at, 'expires_at', p_key.expires_at, 'scopes', p_key.scopes
  )
$$;
comment on function private.api_key_json(private.api_keys) is 'Returns a key as its owner sees it, without its hash.';

create or replace function private.api_keys_json(p_user_id uuid)
returns jsonb
language sql stable set search_path = ''
as $$
  select coalesce(jsonb_agg(private.api_key_json(k) order by k.created_at desc, k.id desc), '[]')
    from private.api_keys k where k.user_id = p_user_id
$$;
comment on function private.api_keys_json(uuid) is 'Returns the keys of an account, newest first.';

create or replace function private.audit(
  p_actor text, p_request_id text, p_action text, p_target text, p_before jsonb, p_after jsonb, p_address text default null
)
returns void
language sql volatile set search_path = ''
as $$
  insert into public.audit_log (actor, action, target, before, after, request_id, address)
  values (p_actor, p_action, p_target, p_before, p_after, p_request_id, left(p_address, 100))
$$;
comment on function private.audit(text, text, text, text, jsonb, jsonb, text) is 'Writes one line of the audit log.';

create or replace function private.audit_admin(
  p_actor jsonb, p_action text, p_target text, p_before jsonb default null, p_after jsonb default null
)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.audit(
    'admin:' || (select a.username from private.admins a where a.id = (p_actor ->> 'id')::uuid),
    p_actor ->> 'request_id', p_action, p_target, p_before, p_after, p_actor ->> 'address'
  );
end
$$;
comment on function private.audit_admin(jsonb, text, text, jsonb, jsonb) is
  'Writes what an admin {id, request_id, address} did into the audit log.';

-- In plpgsql because it keeps its plans: this is asked with every request, and planning it anew each time took longer than
-- everything else of taking a hold.
create or replace function private.credential_problem(
  p_user_id uuid, p_session_id uuid, p_api_key_id uuid, p_scope text
)
returns text
language plpgsql stable set search_path = ''
as $$
declare
  v_problem text;
begin
  if p_session_id is not null then
    select case when u.suspended_at is not null then 'ACCOUNT_SUSPENDED' end into v_problem
      from private.sessions s join public.users u on u.id = s.user_id
     where s.id = p_session_id and s.user_id = p_user_id and s.expires_at > now();
  elsif p_api_key_id is not null then
    select case
             when u.suspended_at is not null then 'ACCOUNT_SUSPENDED'
             when p_scope is not null and not k.scopes && array[p_scope, 'account'] then 'INSUFFICIENT_SCOPE'
           end
      into v_problem
      from private.api_keys k join public.users u on u.id = k.user_id
     where k.id = p_api_key_id and k.user_id = p_user_id and (k.expires_at is null or k.expires_at > now());
  else
    select case when u.suspended_at is not null then 'ACCOUNT_SUSPENDED' end into v_problem
      from public.users u where u.id = p_user_id;
  end if;
  return case when found then v_problem else 'INVALID_TOKEN' end;
end
$$;
comment on function private.credential_problem(uuid, uuid, uuid, text) is
  'Returns why the session or API key may not act for this account at the moment, null where it may: INVALID_TOKEN for one that has ended, ACCOUNT_SUSPENDED, INSUFFICIENT_SCOPE for a key that has neither this scope nor account. With neither credential only the account is looked at; a null scope asks for none.';

create or replace function private.drop_second_factor(p_admin_id uuid)
returns void
language sql volatile set search_path = ''
as $$
  delete from private.admin_recovery_codes where admin_id = p_admin_id;
  delete from private.admin_second_factors where admin_id = p_admin_id;
$$;
comment on function private.drop_second_factor(uuid) is 'Removes the second factor of an admin with its recovery codes.';

create or replace function private.keep_an_owner()
returns void
language plpgsql stable set search_path = ''
as $$
begin
  if not exists (select from private.admins a where a.role = 'owner') then
    raise sqlstate 'PT409' using message = 'LAST_OWNER';
  end if;
end
$$;
comment on function private.keep_an_owner() is
  'Raises LAST_OWNER where nobody is left who could manage admins. Callers lock private.admins before they change it.';

-- Whoever changes a password because somebody else knew it has to hear of the keys that person may have made.
create or replace function private.keys_after_password(p_user_id uuid, p_revoke boolean)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.audit(
    'user:' || p_user_id, null, 'set_password', 'user:' || p_user_id, null,
    jsonb_build_object('revoked_api_keys', p_revoke)
  );
  if p_revoke then
    delete from private.api_keys where user_id = p_user_id;
  end if;
  return private.api_keys_json(p_user_id);
end
$$;
comment on function private.keys_after_password(uuid, boolean) is
  'After a new password: records it, ends all keys of the account where that is wished, and returns those that go on.';

-- Called first by whatever adds to an account or changes how it is opened: such calls wait for each other, for a deletion
-- and for whoever takes the account over, and only then check that the caller's session is still valid.
create or replace function private.lock_user(p_caller jsonb, p_scope text default 'account')
returns uuid
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.users u where u.id = (p_caller ->> 'id')::uuid for no key update;
  return private.require_user(p_caller, p_scope);
end
$$;
comment on function private.lock_user(jsonb, text) is
  'Returns what require_user does, with the account locked until the transaction ends.';

create or replace function private.login_succeeded(p_realm text, p_account text, p_address text)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  insert into private.known_addresses (account, address) values (p_realm || ':' || p_account, p_address)
  on conflict (account, address) do update set last_login_at = now();
  delete from private.login_attempts
   where (scope, key) in (
     (p_realm || ':address', p_address), (p_realm || ':known', p_account || ' ' || p_address),
     (p_realm || ':pair', p_account || ' ' || p_address)
   );
end
$$;
comment on function private.login_succeeded(text, text, text) is
  'After the right password: remembers the address and forgets its failed attempts.';

-- Whoever keeps trying one account from one network is told to wait for that account alone: neither others behind the
-- same address nor the account's owner elsewhere wait for it. What remains is counted by network, for those who try many
-- names, and by account, which many networks together can only slow down; a network that has logged in before is not
-- slowed down by them.
create or replace function private.login_wait(p_realm text, p_account text, p_address text)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_wait integer;
begin
  if exists (
    select from private.known_addresses where account = p_realm || ':' || p_account and address = p_address
  ) then
    return private.count_attempt(p_realm || ':known', p_account || ' ' || p_address, 20, interval '15 minutes');
  end if;
  v_wait := private.count_attempt(p_realm || ':pair', p_account || ' ' || p_address, 10, interval '15 minutes');
  if v_wait is not null then
    return v_wait;
  end if;
  return greatest(
    private.count_attempt(p_realm || ':address', p_address, 20, interval '15 minutes'),
    private.count_attempt(p_realm || ':account', p_account, 10, interval '1 minute')
  );
end
$$;
comment on function private.login_wait(text, text, text) is
  'Counts a log-in attempt at an account of a realm (admin, user) from a network; returns null, or the seconds to wait.';

create or replace function private.open_admin_session(p_admin_id uuid, p_session jsonb, p_second_factor boolean)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_id uuid;
begin
  insert into private.admin_sessions (admin_id, expires_at, user_agent, address, second_factor)
  values (
    p_admin_id, now() + make_interval(secs => (p_session ->> 'lifetime_seconds')::integer),
    left(p_session ->> 'user_agent', 300), left(p_session ->> 'address', 100), p_second_factor
  )
  returning id into v_id;
  return (
    select jsonb_build_object(
             'id', a.id, 'version', a.version, 'session_id', v_id, 'role', a.role, 'second_factor', p_second_factor
           )
      from private.admins a where a.id = p_admin_id
  );
end
$$;
comment on function private.open_admin_session(uuid, jsonb, boolean) is
  'Opens a session {lifetime_seconds, user_agent, address} of an admin; returns what its token says: {id, version, session_id, role, second_factor}.';

create or replace function private.open_session(p_user_id uuid, p_session jsonb)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_expires_at timestamptz := now() + make_interval(secs => (p_session ->> 'lifetime_seconds')::integer);
  v_id uuid;
begin
  if exists (select from public.users u where u.id = p_user_id and u.suspended_at is not null) then
    raise sqlstate 'PT403' using message = 'ACCOUNT_SUSPENDED';
  end if;
  insert into private.sessions (user_id, expires_at, user_agent, address)
  values (p_user_id, v_expires_at, left(p_session ->> 'user_agent', 300), left(p_session ->> 'address', 100))
  returning id into v_id;
  insert into private.refresh_tokens (token_hash, session_id, expires_at)
  values (decode(p_session ->> 'refresh_hash', 'hex'), v_id, v_expires_at);
  return private.session_json(v_id);
end
$$;
comment on function private.open_session(uuid, jsonb) is
  'Opens a session {refresh_hash, lifetime_seconds, user_agent, address} with its first refresh token; returns {session_id, user}, raises ACCOUNT_SUSPENDED.';

-- The proof is {step} of a one-time password that fits the secret, or {recovery_hash}; neither where what was sent is wrong.
create or replace function private.prove_second_factor(p_admin_id uuid, p_proof jsonb)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_wait integer := private.count_attempt('admin:second_factor', p_admin_id::text, 10, interval '15 minutes');
begin
  if v_wait is not null then
    return jsonb_build_object('outcome', 'limited', 'retry_after', v_wait);
  end if;
  update private.admin_second_factors set last_step = (p_proof ->> 'step')::bigint
   where admin_id = p_admin_id and confirmed_at is not null and last_step < (p_proof ->> 'step')::bigint;
  if not found then
    delete from private.admin_recovery_codes
     where admin_id = p_admin_id and code_hash = decode(p_proof ->> 'recovery_hash', 'hex');
    if not found then
      return jsonb_build_object('outcome', 'wrong');
    end if;
  end if;
  delete from private.login_attempts where scope = 'admin:second_factor' and key = p_admin_id::text;
  return jsonb_build_object('outcome', 'proved');
end
$$;
comment on function private.prove_second_factor(uuid, jsonb) is
  'Uses up a one-time password or a recovery code of an admin. Returns {outcome: proved}, wrong, also for a code that was used before, or limited with retry_after.';

create or replace function private.prune_accounts()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_sessions integer;
  v_tokens integer;
  v_keys integer;
begin
  -- Skips what a request has locked; the next round finds it.
  delete from private.sessions
   where id in (select s.id from private.sessions s where s.expires_at <= now() for update skip locked);
  get diagnostics v_sessions = row_count;
  delete from private.admin_sessions where expires_at <= now();
  delete from private.refresh_tokens
   where token_hash in (select t.token_hash from private.refresh_tokens t where t.expires_at <= now() for update skip locked);
  get diagnostics v_tokens = row_count;
  -- A key that has ended stays in its owner's list for a while, so that they see why a script stopped.
  delete from private.api_keys where expires_at <= now() - interval '30 days';
  get diagnostics v_keys = row_count;
  return v_sessions + v_tokens + v_keys + private.prune_oauth() + private.prune_password_resets();
end
$$;
comment on function private.prune_accounts() is
  'Removes sessions, tokens, codes, links and keys whose time is over; returns how many.';

create or replace function private.refuse_credential(p_problem text, p_scope text)
returns void
language plpgsql stable set search_path = ''
as $$
begin
  if p_problem = 'INVALID_TOKEN' then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  elsif p_problem = 'INSUFFICIENT_SCOPE' then
    raise sqlstate 'PT403' using message = 'INSUFFICIENT_SCOPE', detail = jsonb_build_object('scope', p_scope);
  elsif p_problem is not null then
    raise sqlstate 'PT403' using message = p_problem;
  end if;
end
$$;
comment on function private.refuse_credential(text, text) is
  'Raises what credential_problem returned, with the status it belongs to; does nothing for null.';

create or replace function private.require_account(p_user_id uuid)
returns text
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.users u where u.id = p_user_id for update;
  if not found then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  return 'user:' || p_user_id;
end
$$;
comment on function private.require_account(uuid) is
  'Locks an account an admin is about to change and returns how the audit log names it; raises USER_NOT_FOUND.';

-- Called first by every admin function: the right is checked in the transaction that uses it. What names no role acts,
-- so viewers may not; an admin's own session, password and second factor name null and are everybody's.
create or replace function private.require_admin(p_actor jsonb, p_role text default 'operator')
returns text
language plpgsql stable set search_path = ''
as $$
declare
  v_roles constant text[] := array['viewer', 'operator', 'owner'];
  v_admin record;
begin
  select a.username, a.role, s.second_factor into v_admin
    from private.admin_sessions s join private.admins a on a.id = s.admin_id
   where s.id = (p_actor ->> 'session_id')::uuid and s.expires_at > now()
     and a.id = (p_actor ->> 'id')::uuid and a.version = (p_actor ->> 'version')::integer;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  if p_role is not null and (p_actor ->> 'second_factor_required')::boolean and not v_admin.second_factor then
    raise sqlstate 'PT403' using message = 'SECOND_FACTOR_MISSING';
  end if;
  if p_role is not null and array_position(v_roles, v_admin.role) < array_position(v_roles, p_role) then
    raise sqlstate 'PT403' using message = 'INSUFFICIENT_ROLE', detail = jsonb_build_object('role', p_role);
  end if;
  return 'admin:' || v_admin.username;
end
$$;
comment on function private.require_admin(jsonb, text) is
  'Returns the name to record for the admin {id, version, session_id, second_factor_required, request_id, address}; raises INVALID_TOKEN where the session has ended, SECOND_FACTOR_MISSING, or INSUFFICIENT_ROLE below viewer, operator or owner.';

-- Called first by every function that acts for a person: the credential is checked in the transaction that uses it. What
-- names no scope is part of the account, which keys do not open unless they were made for it.
create or replace function private.require_user(p_caller jsonb, p_scope text default 'account')
returns uuid
language plpgsql stable set search_path = ''
as $$
declare
  v_user_id uuid := (p_caller ->> 'id')::uuid;
begin
  perform private.refuse_credential(
    private.credential_problem(
      v_user_id, (p_caller ->> 'session_id')::uuid, (p_caller ->> 'api_key_id')::uuid, p_scope
    ),
    p_scope
  );
  return v_user_id;
end
$$;
comment on function private.require_user(jsonb, text) is
  'Returns the account of the caller {id, session_id | api_key_id}; raises INVALID_TOKEN, ACCOUNT_SUSPENDED, or INSUFFICIENT_SCOPE for a key without the scope.';

-- Lock order everywhere: the pool, then balances in id order.
create or replace function public.allocate(
  p_actor jsonb, p_kind text, p_subject_id uuid, p_tokens bigint, p_from_id uuid default null, p_key text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes balances, pools and the ledger, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_request jsonb := jsonb_build_array('allocate', p_kind, p_subject_id, p_tokens, p_from_id);
  v_subjects uuid[] := array_remove(array[p_subject_id, p_from_id], null);
  v_pool public.budgets;
  v_reference text := gen_random_uuid()::text;
  v_before jsonb;
  v_answer jsonb;
begin
  if p_from_id = p_subject_id then
    raise sqlstate 'PT400' using message = 'SELF_TRANSFER';
  end if;
  select * into strict v_pool from public.budgets where subject_kind = p_kind for update;
  v_answer := private.earlier_answer((p_actor ->> 'id')::uuid, p_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  perform from public.balances b where b.subject_id = any (v_subjects) order by b.subject_id for update;
  perform private.require_subject(p_kind, s) from unnest(v_subjects) as s;
  perform private.expire_reservations(v_subjects);
  v_before := jsonb_build_object('to', private.balance_json(p_subject_id), 'from', private.balance_json(p_from_id));

  if p_from_id is null then
    if v_pool.allocated + p_tokens > v_pool.total and p_tokens > 0 then
      raise sqlstate 'PT403' using message = 'BUDGET_EXCEEDED', detail = jsonb_build_object(
        'requested', p_tokens, 'remaining', greatest(v_pool.total - v_pool.allocated, 0)
      )::text;
    end if;
    perform private.change_allocation(
      p_subject_id, p_tokens, case when p_tokens > 0 then 'grant' else 'adjustment' end, v_actor, null
    );
    update public.budgets set allocated = allocated + p_tokens, updated_at = now() where subject_kind = p_kind;
  else
    perform private.change_allocation(p_from_id, -p_tokens, 'transfer', v_actor, v_reference);
    perform private.change_allocation(p_subject_id, p_tokens, 'transfer', v_actor, v_reference);
  end if;

  v_answer := private.balance_json(p_subject_id) || jsonb_build_object('from', private.balance_json(p_from_id));
  perform private.audit_admin(
    p_actor, case when p_from_id is null then 'allocate' else 'transfer' end,
    p_kind || ':' || p_subject_id, v_before,
    jsonb_build_object('to', private.balance_json(p_subject_id), 'from', private.balance_json(p_from_id))
  );
  if p_key is not null then
    insert into private.idempotency_keys (subject_id, key, request_hash, answer)
    values ((p_actor ->> 'id')::uuid, p_key, sha256(convert_to(v_request::text, 'UTF8')), v_answer);
  end if;
  return v_answer;
end
$$;
grant execute on function public.allocate(jsonb, text, uuid, bigint, uuid, text) to service_role;
comment on function public.allocate(jsonb, text, uuid, bigint, uuid, text) is
  'Gives tokens from the pool, takes unused ones back (negative), or moves them between two subjects. Returns the balance, with from for a transfer; raises BUDGET_EXCEEDED, INSUFFICIENT_TOKENS, SELF_TRANSFER, …_NOT_FOUND, IDEMPOTENCY_MISMATCH.';

create or replace function public.authenticate_api_key(p_key_hash text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.api_keys.
declare
  v_key private.api_keys;
begin
  select * into v_key from private.api_keys k where k.key_hash = decode(p_key_hash, 'hex');
  if v_key.id is null or v_key.expires_at <= now() then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  -- A key many servers use at once is not written for each of them.
  update private.api_keys set last_used_at = now()
   where id = v_key.id and (last_used_at is null or last_used_at < now() - interval '30 seconds');
  return jsonb_build_object('id', v_key.user_id, 'api_key_id', v_key.id, 'scopes', v_key.scopes);
end
$$;
grant execute on function public.authenticate_api_key(text) to service_role;
comment on function public.authenticate_api_key(text) is
  'Returns whose key this is (SHA-256 in hex): {id, api_key_id, scopes}, and notes its use. Raises INVALID_TOKEN for one that is unknown or has ended.';

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
    'allowed', true, 'id', v_admin.id, 'password_hash', v_admin.password_hash,
    'secret', (
      select f.secret from private.admin_second_factors f where f.admin_id = v_admin.id and f.confirmed_at is not null
    )
  );
end
$$;
grant execute on function public.begin_admin_login(text, text) to service_role;
comment on function public.begin_admin_login(text, text) is
  'Counts a log-in attempt before any hashing. Returns {allowed, retry_after} or {allowed, id, password_hash, secret}: nulls for an unknown name, secret null without a second factor.';

create or replace function public.begin_admin_proof(p_actor jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads password hashes and secrets and counts attempts, which no API role may.
declare
  v_id uuid := (p_actor ->> 'id')::uuid;
  v_wait integer;
begin
  perform private.require_admin(p_actor, null);
  v_wait := private.count_attempt('admin:proof', v_id::text, 10, interval '15 minutes');
  if v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  return (
    select jsonb_build_object(
             'allowed', true, 'username', a.username, 'password_hash', a.password_hash, 'secret', f.secret,
             'confirmed', coalesce(f.confirmed_at is not null, false)
           )
      from private.admins a left join private.admin_second_factors f on f.admin_id = a.id
     where a.id = v_id
  );
end
$$;
grant execute on function public.begin_admin_proof(jsonb) to service_role;
comment on function public.begin_admin_proof(jsonb) is
  'Counts an attempt of the calling admin at proving who they are. Returns {allowed, retry_after} or {allowed, username, password_hash, secret, confirmed}: the second factor''s, null without one.';

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
    'email', (select u.email from public.users u where u.id = v_user_id),
    'password_hash', (select c.password_hash from private.user_credentials c where c.user_id = v_user_id)
  );
end
$$;
grant execute on function public.begin_password_change(jsonb) to service_role;
comment on function public.begin_password_change(jsonb) is
  'Counts an attempt before any hashing. Returns {allowed, retry_after} or {allowed, email, password_hash}, null for an account without a password.';

create or replace function public.begin_second_factor(p_actor jsonb, p_secret text)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes private.admin_second_factors, which no API role may.
begin
  perform private.require_admin(p_actor, null);
  insert into private.admin_second_factors as f (admin_id, secret) values ((p_actor ->> 'id')::uuid, p_secret)
  on conflict (admin_id) do update set secret = excluded.secret, created_at = now() where f.confirmed_at is null;
  if not found then
    raise sqlstate 'PT409' using message = 'SECOND_FACTOR_EXISTS';
  end if;
  return true;
end
$$;
grant execute on function public.begin_second_factor(jsonb, text) to service_role;
comment on function public.begin_second_factor(jsonb, text) is
  'Keeps the secret of a second factor that is still to be confirmed; raises SECOND_FACTOR_EXISTS.';

create or replace function public.begin_user_login(p_email text, p_address text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads password hashes and counters, which no API role may.
declare
  v_user_id uuid;
  v_password_hash text;
  v_changed_at timestamptz;
  v_wait integer;
begin
  select u.id, c.password_hash, c.updated_at into v_user_id, v_password_hash, v_changed_at
    from public.users u left join private.user_credentials c on c.user_id = u.id
   where u.email = p_email;
  v_wait := private.login_wait('user', coalesce(v_user_id::text, p_email), p_address);
  if v_wait is not null then
    return jsonb_build_object('allowed', false, 'retry_after', v_wait);
  end if;
  return jsonb_build_object(
    'allowed', true, 'user_id', v_user_id, 'password_hash', v_password_hash, 'changed_at', v_changed_at
  );
end
$$;
grant execute on function public.begin_user_login(text, text) to service_role;
comment on function public.begin_user_login(text, text) is
  'Counts a log-in attempt before any hashing. Returns {allowed, retry_after} or {allowed, user_id, password_hash, changed_at}, nulls for an unknown address or an account without password.';

create or replace function public.change_admin_password(
  p_actor jsonb, p_password_hash text, p_verified_hash text, p_session jsonb
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes private.admins, which no API role may.
declare
  v_actor text := private.require_admin(p_actor, null);
  v_id uuid := (p_actor ->> 'id')::uuid;
  v_second_factor boolean;
begin
  select s.second_factor into v_second_factor
    from private.admin_sessions s where s.id = (p_actor ->> 'session_id')::uuid;
  -- Of two changes at once the second finds another hash than the one its current password was checked against.
  update private.admins set password_hash = p_password_hash, version = version + 1, updated_at = now()
   where id = v_id and password_hash = p_verified_hash;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  delete from private.admin_sessions where admin_id = v_id;
  delete from private.login_attempts where scope = 'admin:proof' and key = v_id::text;
  perform private.audit_admin(p_actor, 'change_password', v_actor);
  return private.open_admin_session(v_id, p_session, v_second_factor);
end
$$;
grant execute on function public.change_admin_password(jsonb, text, text, jsonb) to service_role;
comment on function public.change_admin_password(jsonb, text, text, jsonb) is
  'Sets the calling admin''s password where it still is the verified one, ends all their sessions and opens another; returns that as open_admin_session does.';

create or replace function public.change_password(
  p_caller jsonb, p_password_hash text, p_verified_hash text default null, p_revoke_keys boolean default false
)
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
  return jsonb_build_object(
    'ended', private.end_sessions(v_user_id, (p_caller ->> 'session_id')::uuid),
    'api_keys', private.keys_after_password(v_user_id, p_revoke_keys)
  );
end
$$;
grant execute on function public.change_password(jsonb, text, text, boolean) to service_role;
comment on function public.change_password(jsonb, text, text, boolean) is
  'Sets the password where it still is the verified one, or the first one where none was verified, and ends every other session, mailed links and, where wished, the API keys. Returns {ended, api_keys}: those that go on; raises INVALID_CREDENTIALS.';

create or replace function public.changed_states(p_listeners jsonb)
returns jsonb
language sql stable security definer set search_path = ''
as $$
-- Definer: asks for sessions and keys, and reads what belongs to many people.
  select coalesce(jsonb_agg(
           jsonb_build_object(
             'position', l.ord - 1, 'live', l.live, 'version', coalesce(s.version, 0),
             'allocated', coalesce(b.allocated, 0), 'used', coalesce(b.used, 0), 'reserved', coalesce(b.reserved, 0)
           )
         ), '[]')
    from (
      select r.*, private.credential_problem(r.id, r.session_id, r.api_key_id, 'settings') is null as live
        from rows from (
          jsonb_to_recordset(p_listeners) as (
            id uuid, session_id uuid, api_key_id uuid, version bigint, allocated bigint, used bigint, reserved bigint
          )
        ) with ordinality as r(id, session_id, api_key_id, version, allocated, used, reserved, ord)
    ) l
    left join public.settings s on s.user_id = l.id
    left join public.balances b on b.subject_id = l.id
   where not l.live
      or (coalesce(s.version, 0), coalesce(b.allocated, 0), coalesce(b.used, 0), coalesce(b.reserved, 0))
        is distinct from (l.version, l.allocated, l.used, l.reserved)
$$;
grant execute on function public.changed_states(jsonb) to service_role;
comment on function public.changed_states(jsonb) is
  'Returns which of an array of listeners {id, session_id | api_key_id, version, allocated, used, reserved} know another state than the present one, or may listen no longer: [{position, live, version, allocated, used, reserved}].';

create or replace function public.confirm_second_factor(
  p_actor jsonb, p_secret text, p_step bigint, p_recovery_hashes text[], p_session jsonb
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes second factors and sessions, which no API role may.
declare
  v_actor text := private.require_admin(p_actor, null);
  v_id uuid := (p_actor ->> 'id')::uuid;
begin
  update private.admin_second_factors set confirmed_at = now(), last_step = p_step
   where admin_id = v_id and secret = p_secret and confirmed_at is null;
  if not found then
    raise sqlstate 'PT409' using message = 'SECOND_FACTOR_EXISTS';
  end if;
  delete from private.admin_recovery_codes where admin_id = v_id;
  insert into private.admin_recovery_codes (admin_id, code_hash)
  select v_id, decode(h, 'hex') from unnest(p_recovery_hashes) h;
  -- Whoever is logged in without it is logged out: the sessions were opened by the password alone.
  delete from private.admin_sessions where admin_id = v_id;
  delete from private.login_attempts where scope = 'admin:proof' and key = v_id::text;
  perform private.audit_admin(p_actor, 'enrol_second_factor', v_actor);
  return private.open_admin_session(v_id, p_session, true);
end
$$;
grant execute on function public.confirm_second_factor(jsonb, text, bigint, text[], jsonb) to service_role;
comment on function public.confirm_second_factor(jsonb, text, bigint, text[], jsonb) is
  'Turns the second factor on, of which a code was shown, with the hashes (hex) of its recovery codes; ends every session and opens one. Raises SECOND_FACTOR_EXISTS where another one was confirmed meanwhile.';

create or replace function public.confirm_user(p_caller jsonb, p_scope text)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and keys.
begin
  return private.require_user(p_caller, p_scope) is not null;
end
$$;
grant execute on function public.confirm_user(jsonb, text) to service_role;
comment on function public.confirm_user(jsonb, text) is
  'Returns true where the caller''s session, or key with this scope, is good, for what asks the database nothing else; raises what require_user does.';

create or replace function public.create_admin(p_actor jsonb, p_username text, p_password_hash text, p_role text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may write private.admins.
declare
  v_admin private.admins;
begin
  lock table private.admins in share row exclusive mode;
  perform private.require_admin(p_actor, 'owner');
  insert into private.admins (username, password_hash, role) values (p_username, p_password_hash, p_role)
  on conflict (username) do nothing
  returning * into v_admin;
  if v_admin.id is null then
    raise sqlstate 'PT409' using message = 'ADMIN_EXISTS';
  end if;
  perform private.audit_admin(p_actor, 'create_admin', 'admin:' || p_username, null, jsonb_build_object('role', p_role));
  return private.admin_json(v_admin);
end
$$;
grant execute on function public.create_admin(jsonb, text, text, text) to service_role;
comment on function public.create_admin(jsonb, text, text, text) is
  'Creates an admin, for an owner; returns them, raises ADMIN_EXISTS for a name that is taken.';

create or replace function public.create_api_key(
  p_caller jsonb, p_name text, p_prefix text, p_key_hash text, p_scopes text[], p_expires_at text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.api_keys.
declare
  v_user_id uuid;
  v_key private.api_keys;
begin
  -- Serialises the creations of one person, so that the limit holds, and waits for whatever is about to end the
  -- calling session: a key made meanwhile would outlive it.
  perform from public.users u where u.id = (p_caller ->> 'id')::uuid for update;
  v_user_id := private.require_user(p_caller);
  if (select count(*) from private.api_keys k where k.user_id = v_user_id) >= 50 then
    raise sqlstate 'PT409' using message = 'API_KEY_LIMIT', detail = '{"limit": 50}';
  end if;
  if p_expires_at::timestamptz <= now() then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
  end if;
  insert into private.api_keys (user_id, name, prefix, key_hash, scopes, expires_at)
  values (
    v_user_id, p_name, p_prefix, decode(p_key_hash, 'hex'), p_scopes,
    -- What a key makes does not outlive it.
    least(p_expires_at::timestamptz, (
      select k.expires_at from private.api_keys k where k.id = (p_caller ->> 'api_key_id')::uuid
    ))
  )
  returning * into v_key;
  perform private.audit(
    'user:' || v_user_id, null, 'create_api_key', 'user:' || v_user_id, null,
    jsonb_build_object('id', v_key.id, 'scopes', v_key.scopes, 'expires_at', v_key.expires_at)
  );
  return private.api_key_json(v_key);
exception
  -- Well formed, but there is no such time.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.create_api_key(jsonb, text, text, text, text[], text) to service_role;
comment on function public.create_api_key(jsonb, text, text, text, text[], text) is
  'Keeps a new key''s SHA-256 (hex) and returns the key without it; one made by a key ends with it at the latest. Raises API_KEY_LIMIT beyond 50, VALIDATION_FAILED for an end in the past.';

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
  perform private.audit_admin(
    p_actor, 'create_user', 'user:' || v_user.id, null, private.balance_json(v_user.id)
  );
  return private.user_json(v_user);
end
$$;
grant execute on function public.create_user(jsonb, text, bigint, text, text) to service_role;
comment on function public.create_user(jsonb, text, bigint, text, text) is
  'Creates an account with its default tokens; the password hash may be null. Returns the account; raises EMAIL_TAKEN.';

create or replace function public.current_user_id()
returns uuid
language sql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and keys, but policies must ask for them.
  select c.user_id
    from (
      select (auth.jwt() ->> 'sub')::uuid as user_id, (auth.jwt() ->> 'sid')::uuid as session_id,
             (auth.jwt() ->> 'key_id')::uuid as api_key_id
    ) c
   where private.credential_problem(c.user_id, c.session_id, c.api_key_id, null) is null
$$;
grant execute on function public.current_user_id() to authenticated;
comment on function public.current_user_id() is
  'Returns the account the request''s token is about; null where it is suspended, or the session (sid) or API key (key_id) it names has ended.';

-- Reads balances, rollups and totals, never events.
create or replace function public.dashboard(
  p_actor jsonb, p_limit integer, p_sort text, p_query text default null, p_after_value text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every device, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return jsonb_build_object(
    'budget', private.budget_json('device') || jsonb_build_object('users', private.budget_json('user')),
    'device_count', (select count(*) from public.devices where deleted_at is null),
    'devices', private.device_page(p_query, p_limit, p_sort, p_after_value, p_after_id),
    'usage', private.usage_by_day(30),
    'top_devices', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.used desc, t.id), '[]')
        from (
          select d.id, d.name, b.used, b.allocated
            from (
              -- Sorted before the join, as sorting numbers is cheap; more than ten, as some may be deleted.
              select subject_id, used, allocated from public.balances
               where subject_kind = 'device' and used > 0 order by used desc, subject_id limit 1000
            ) b
            join public.devices d on d.id = b.subject_id
           where d.deleted_at is null
           order by b.used desc, d.id
           limit 10
        ) t
    )
  );
end
$$;
grant execute on function public.dashboard(jsonb, integer, text, text, text, uuid) to service_role;
comment on function public.dashboard(jsonb, integer, text, text, text, uuid) is
  'Returns what the admin dashboard shows: pools, one page of devices, 30 days of usage, the ten devices that used most in this period.';

create or replace function public.delete_account_as(p_actor jsonb, p_user_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: removes what no API role may write.
declare
  v_target text;
  v_deleted jsonb;
begin
  perform private.require_admin(p_actor);
  v_target := private.require_account(p_user_id);
  update public.users set suspended_at = null where id = p_user_id;
  v_deleted := public.delete_account(jsonb_build_object('id', p_user_id));
  perform private.audit_admin(p_actor, 'delete_user', v_target);
  return v_deleted;
end
$$;
grant execute on function public.delete_account_as(jsonb, uuid) to service_role;
comment on function public.delete_account_as(jsonb, uuid) is
  'Runs delete_account for an admin. Returns {deleted}; raises USER_NOT_FOUND, and SUBSCRIPTION_RUNNING while Stripe knows the person.';

create or replace function public.delete_admin(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may write private.admins.
declare
  v_username text;
begin
  lock table private.admins in share row exclusive mode;
  perform private.require_admin(p_actor, 'owner');
  select a.username into v_username from private.admins a where a.id = p_id;
  if not found then
    raise sqlstate 'PT404' using message = 'ADMIN_NOT_FOUND';
  end if;
  perform private.audit_admin(p_actor, 'remove_admin', 'admin:' || v_username);
  delete from private.admins where id = p_id;
  perform private.keep_an_owner();
  return jsonb_build_object('id', p_id, 'deleted', true);
end
$$;
grant execute on function public.delete_admin(jsonb, uuid) to service_role;
comment on function public.delete_admin(jsonb, uuid) is
  'Removes an admin, for an owner; their tokens end. Returns {id, deleted}; raises ADMIN_NOT_FOUND, LAST_OWNER.';

create or replace function public.delete_api_key(p_caller jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.api_keys.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  delete from private.api_keys where id = p_id and user_id = v_user_id;
  if not found then
    raise sqlstate 'PT404' using message = 'API_KEY_NOT_FOUND';
  end if;
  perform private.audit(
    'user:' || v_user_id, null, 'delete_api_key', 'user:' || v_user_id, jsonb_build_object('id', p_id), null
  );
  return jsonb_build_object('id', p_id, 'deleted', true);
end
$$;
grant execute on function public.delete_api_key(jsonb, uuid) to service_role;
comment on function public.delete_api_key(jsonb, uuid) is 'Ends one of the account''s keys. Returns {id, deleted}; raises API_KEY_NOT_FOUND.';

create or replace function public.delete_device(p_actor jsonb, p_device_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, balances, the pool and the ledger, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_before jsonb;
  v_unused bigint;
begin
  perform from public.budgets where subject_kind = 'device' for update;
  v_before := private.lock_device(p_device_id);
  update public.devices
     set deleted_at = now(), fingerprint_hash = null, token_version = token_version + 1
   where id = p_device_id;

  -- Its holds end with it; what it used stays in the books.
  with released as (
    update public.reservations set status = 'expired', closed_at = now()
     where subject_id = p_device_id and status = 'held' returning amount
  )
  update public.balances set reserved = reserved - (select coalesce(sum(amount), 0) from released)
   where subject_id = p_device_id
  returning allocated - used - reserved into v_unused;
  if v_unused > 0 then
    perform private.change_allocation(p_device_id, -v_unused, 'adjustment', v_actor, 'device deleted');
    update public.budgets set allocated = allocated - v_unused, updated_at = now() where subject_kind = 'device';
  end if;
  perform private.audit_admin(
    p_actor, 'delete_device', 'device:' || p_device_id, v_before,
    jsonb_build_object('returned', v_unused)
  );
  return jsonb_build_object('device_id', p_device_id, 'returned', v_unused);
end
$$;
grant execute on function public.delete_device(jsonb, uuid) to service_role;
comment on function public.delete_device(jsonb, uuid) is
  'Removes a device: its tokens die, its unused tokens return to the pool, its usage stays. Returns {device_id, returned}.';

create or replace function public.delete_usage(p_caller jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: events are append-only for every API role.
declare
  v_user_id uuid := private.require_user(p_caller, 'usage:write');
  v_event public.usage_events;
begin
  -- Only observed events have ids that say when they happened; what was debited has another and is not found here.
  delete from public.usage_events e
   where e.subject_id = v_user_id and e.occurred_at = private.usage_event_time(p_id) and e.id = p_id
     and e.source = 'extension' and e.cost = 0
  returning * into v_event;
  if v_event.id is null then
    raise sqlstate 'PT404' using message = 'USAGE_NOT_FOUND';
  end if;
  perform private.take_out_usage(v_event);
  return jsonb_build_object('id', p_id, 'deleted', true);
end
$$;
grant execute on function public.delete_usage(jsonb, uuid) to service_role;
comment on function public.delete_usage(jsonb, uuid) is
  'Deletes an observed event of the caller, in its rollups too. Returns {id, deleted}; raises USAGE_NOT_FOUND, also for what was debited.';

create or replace function public.end_account_sessions(p_actor jsonb, p_user_id uuid, p_api_keys boolean)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions and keys, which no API role may.
declare
  v_target text;
  v_ended jsonb;
  v_keys integer := 0;
begin
  perform private.require_admin(p_actor);
  v_target := private.require_account(p_user_id);
  if p_api_keys then
    delete from private.api_keys where user_id = p_user_id;
    get diagnostics v_keys = row_count;
  end if;
  v_ended := jsonb_build_object('ended', private.end_sessions(p_user_id), 'api_keys', v_keys);
  perform private.audit_admin(p_actor, 'end_user_sessions', v_target, null, v_ended);
  return v_ended;
end
$$;
grant execute on function public.end_account_sessions(jsonb, uuid, boolean) to service_role;
comment on function public.end_account_sessions(jsonb, uuid, boolean) is
  'Ends every session of an account and, where wished, every API key. Returns {ended, api_keys}; raises USER_NOT_FOUND.';

create or replace function public.end_admin_sessions(p_actor jsonb, p_session_id uuid default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may write sessions.
declare
  v_actor text := private.require_admin(p_actor, null);
  v_ended integer;
begin
  delete from private.admin_sessions s
   where s.admin_id = (p_actor ->> 'id')::uuid and (p_session_id is null or s.id = p_session_id);
  get diagnostics v_ended = row_count;
  if v_ended = 0 then
    raise sqlstate 'PT404' using message = 'SESSION_NOT_FOUND';
  end if;
  perform private.audit_admin(p_actor, 'end_sessions', v_actor, null, jsonb_build_object('ended', v_ended));
  return jsonb_build_object('ended', v_ended);
end
$$;
grant execute on function public.end_admin_sessions(jsonb, uuid) to service_role;
comment on function public.end_admin_sessions(jsonb, uuid) is
  'Ends one of the calling admin''s sessions, or all of them. Returns {ended}; raises SESSION_NOT_FOUND.';

create or replace function public.find_google_user(p_identity jsonb, p_default_tokens bigint)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: writes users and identities, which no API role may.
declare
  v_user public.users := private.resolve_external_identity(p_identity, p_default_tokens);
begin
  if v_user.id is null then
    raise sqlstate 'PT401' using message = 'INVALID_ACCESS_TOKEN';
  end if;
  if v_user.suspended_at is not null then
    raise sqlstate 'PT403' using message = 'ACCOUNT_SUSPENDED';
  end if;
  return private.user_json(v_user);
end
$$;
grant execute on function public.find_google_user(jsonb, bigint) to service_role;
comment on function public.find_google_user(jsonb, bigint) is
  'Returns the account of a person Google vouches for, made where there is none yet; raises INVALID_ACCESS_TOKEN where the address is another person''s, ACCOUNT_SUSPENDED.';

create or replace function public.find_password_reset(p_token_hash text)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads private.password_resets, which no API role may.
begin
  return jsonb_build_object('email', (
    select r.email from private.password_resets r
     where r.token_hash = decode(p_token_hash, 'hex') and r.user_id is not null and r.expires_at > now()
  ));
end
$$;
grant execute on function public.find_password_reset(text) to service_role;
comment on function public.find_password_reset(text) is
  'Returns {email}: whose password a mailed token (SHA-256, hex) sets, which the new one must not be; null for no good token.';

create or replace function public.finish_admin_login(
  p_id uuid, p_password_hash text, p_address text, p_session jsonb, p_proof jsonb default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions and counters, which no API role may. Returns an outcome instead of raising, as what was
-- counted and recorded must stay.
declare
  v_admin private.admins;
  v_has_factor boolean;
  v_proved jsonb := '{}';
begin
  -- The hash the password was checked against must still be the admin's; the lock lets no change slip between.
  select * into v_admin from private.admins a where a.id = p_id and a.password_hash = p_password_hash for share;
  if not found then
    return jsonb_build_object('outcome', 'refused');
  end if;
  v_has_factor := exists (
    select from private.admin_second_factors f where f.admin_id = p_id and f.confirmed_at is not null
  );
  if v_has_factor and p_proof is null then
    return jsonb_build_object('outcome', 'second_factor_required');
  elsif v_has_factor then
    v_proved := private.prove_second_factor(p_id, p_proof);
    if v_proved ->> 'outcome' <> 'proved' then
      perform private.audit_admin(p_session || jsonb_build_object('id', p_id), 'fail_second_factor', 'admin:' || v_admin.username);
      return v_proved;
    end if;
  end if;
  perform private.login_succeeded('admin', v_admin.username, p_address);
  perform private.audit_admin(
    p_session || jsonb_build_object('id', p_id), 'sign_in', 'admin:' || v_admin.username, null,
    jsonb_build_object('second_factor', v_has_factor, 'recovery_code', p_proof ? 'recovery_hash')
  );
  return jsonb_build_object('outcome', 'opened') || private.open_admin_session(p_id, p_session, v_has_factor);
end
$$;
grant execute on function public.finish_admin_login(uuid, text, text, jsonb, jsonb) to service_role;
comment on function public.finish_admin_login(uuid, text, text, jsonb, jsonb) is
  'After the right password: opens a session {lifetime_seconds, user_agent, address, request_id} and returns it with {outcome: opened}; refused where the password was changed, second_factor_required, or what prove_second_factor says.';

create or replace function public.finish_user_login(
  p_user_id uuid, p_changed_at text, p_address text, p_session jsonb, p_rehashed text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions and counters, which no API role may.
begin
  -- The password that was checked must still be the account's; the lock lets no change slip between. A hash brought up to
  -- date by another log-in at the same time is of the same password, and leaves the time of its change as it is.
  perform from private.user_credentials c
   where c.user_id = p_user_id and c.updated_at = p_changed_at::timestamptz
     for update;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  update private.user_credentials set password_hash = p_rehashed where user_id = p_user_id and p_rehashed is not null;
  perform private.login_succeeded('user', p_user_id::text, p_address);
  return private.open_session(p_user_id, p_session);
end
$$;
grant execute on function public.finish_user_login(uuid, text, text, jsonb, text) to service_role;
comment on function public.finish_user_login(uuid, text, text, jsonb, text) is
  'After the right password: opens a session, if the password was not changed since, and keeps a hash of it made with today''s pepper, where one is given. Returns {session_id, user}; raises INVALID_CREDENTIALS, ACCOUNT_SUSPENDED.';

create or replace function public.get_account(p_actor jsonb, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every account, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return private.account_json(p_user_id);
end
$$;
grant execute on function public.get_account(jsonb, uuid) to service_role;
comment on function public.get_account(jsonb, uuid) is 'Returns an account for an admin; raises USER_NOT_FOUND.';

create or replace function public.get_budget(p_actor jsonb, p_kind text)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every balance, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return private.budget_json(p_kind);
end
$$;
grant execute on function public.get_budget(jsonb, text) to service_role;
comment on function public.get_budget(jsonb, text) is 'Returns the pool of devices or users with its totals.';

create or replace function public.list_account_api_keys(p_actor jsonb, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads keys, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  perform private.account_json(p_user_id);
  return private.api_keys_json(p_user_id);
end
$$;
grant execute on function public.list_account_api_keys(jsonb, uuid) to service_role;
comment on function public.list_account_api_keys(jsonb, uuid) is
  'Returns the API keys of an account without their secrets, newest first; raises USER_NOT_FOUND.';

create or replace function public.list_account_devices(p_actor jsonb, p_user_id uuid)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads everybody's devices, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  perform private.account_json(p_user_id);
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select d.id, d.name, d.blocked, d.registrations, d.last_registered_at, d.created_at,
               b.allocated, b.used, b.allocated - b.used - b.reserved as remaining
          from public.devices d join public.balances b on b.subject_id = d.id
         where d.user_id = p_user_id and d.deleted_at is null
         order by d.created_at desc, d.id desc
         limit 200
      ) page
  );
end
$$;
grant execute on function public.list_account_devices(jsonb, uuid) to service_role;
comment on function public.list_account_devices(jsonb, uuid) is
  'Returns the devices of an account with their balances, newest first, 200 at most; raises USER_NOT_FOUND.';

create or replace function public.list_account_ledger(
  p_actor jsonb, p_user_id uuid, p_limit integer, p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads everybody's ledger, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  perform private.account_json(p_user_id);
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select e.id, e.kind, e.amount, e.actor, e.reference, e.created_at
          from public.ledger_entries e
         where e.subject_id = p_user_id
           and (p_before_id is null or (e.created_at, e.id) < (p_before_at::timestamptz, p_before_id))
         order by e.created_at desc, e.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.list_account_ledger(jsonb, uuid, integer, text, uuid) to service_role;
comment on function public.list_account_ledger(jsonb, uuid, integer, text, uuid) is
  'Returns what changed the allocation of an account and who did it, newest first; before (time, id) to page on. Raises USER_NOT_FOUND.';

create or replace function public.list_admin_sessions(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read sessions.
begin
  perform private.require_admin(p_actor, null);
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select s.id, s.created_at, s.expires_at, s.user_agent, s.address, s.second_factor,
               s.id = (p_actor ->> 'session_id')::uuid as current
          from private.admin_sessions s
         where s.admin_id = (p_actor ->> 'id')::uuid and s.expires_at > now()
         order by s.created_at desc, s.id desc
         limit 200
      ) page
  );
end
$$;
grant execute on function public.list_admin_sessions(jsonb) to service_role;
comment on function public.list_admin_sessions(jsonb) is 'Returns the calling admin''s running sessions, newest first, 200 at most.';

create or replace function public.list_admins(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read private.admins.
begin
  perform private.require_admin(p_actor, 'owner');
  return (select coalesce(jsonb_agg(private.admin_json(a) order by a.username), '[]') from private.admins a);
end
$$;
grant execute on function public.list_admins(jsonb) to service_role;
comment on function public.list_admins(jsonb) is 'Returns all admins by name, for an owner.';

create or replace function public.list_all_usage(
  p_actor jsonb, p_limit integer, p_from text, p_to text, p_time_zone text, p_filter jsonb default '{}',
  p_before_at text default null, p_before_id uuid default null, p_user_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: an admin may ask about everybody, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return public.list_usage(
    p_limit, p_from, p_to, p_time_zone, p_filter, p_before_at, p_before_id, private.account_subjects(p_user_id)
  );
end
$$;
grant execute on function public.list_all_usage(jsonb, integer, text, text, text, jsonb, text, uuid, uuid) to service_role;
comment on function public.list_all_usage(jsonb, integer, text, text, text, jsonb, text, uuid, uuid) is
  'Runs list_usage for an admin: of everybody, or of one account with its devices.';

create or replace function public.list_api_keys(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read private.api_keys.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return private.api_keys_json(v_user_id);
end
$$;
grant execute on function public.list_api_keys(jsonb) to service_role;
comment on function public.list_api_keys(jsonb) is 'Returns the account''s keys, newest first; at most 50, so that one answer holds them all.';

create or replace function public.list_audit(p_actor jsonb, p_limit integer, p_before bigint default null, p_target text default null)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read audit_log.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.id desc), '[]')
      from (
        select a.* from public.audit_log a
         where (p_before is null or a.id < p_before) and (p_target is null or a.target = p_target)
         order by a.id desc
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.list_audit(jsonb, integer, bigint, text) to service_role;
comment on function public.list_audit(jsonb, integer, bigint, text) is 'Returns the audit log, newest first; before an id to page on, a target to follow one thing.';

create or replace function public.list_model_costs(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read model_costs.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (select jsonb_agg(jsonb_build_object('model', c.model, 'cost', c.cost, 'updated_at', c.updated_at) order by c.model)
            from public.model_costs c);
end
$$;
grant execute on function public.list_model_costs(jsonb) to service_role;
comment on function public.list_model_costs(jsonb) is 'Returns all prices; the model * is the price of every other one.';

create or replace function public.list_period_devices(p_actor jsonb, p_period integer, p_limit integer, p_after uuid default null)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every device's history, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.device_id), '[]')
      from (
        select b.subject_id as device_id, d.name, b.allocated, b.used
          from public.period_balances b join public.devices d on d.id = b.subject_id
         where b.period = p_period and (p_after is null or b.subject_id > p_after)
         order by b.subject_id
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.list_period_devices(jsonb, integer, integer, uuid) to service_role;
comment on function public.list_period_devices(jsonb, integer, integer, uuid) is 'Returns what each device had and used in a closed period, by id; after an id to page on.';

create or replace function public.list_periods(p_actor jsonb, p_limit integer, p_before integer default null)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every device's history, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.number desc), '[]')
      from (
        select p.number, p.started_at, p.closed_at, p.closed_by, p.default_tokens,
               coalesce(h.devices, 0) as devices, coalesce(h.allocated, 0) as allocated, coalesce(h.used, 0) as used
          from public.periods p
          left join lateral (
            select count(*) as devices, sum(b.allocated)::bigint as allocated, sum(b.used)::bigint as used
              from (
                select allocated, used from public.period_balances where period = p.number
                union all
                select allocated, used from public.balances where period = p.number and subject_kind = 'device' and p.closed_at is null
              ) b
          ) h on true
         where p_before is null or p.number < p_before
         order by p.number desc
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.list_periods(jsonb, integer, integer) to service_role;
comment on function public.list_periods(jsonb, integer, integer) is 'Returns budget periods, newest first, with the sums of their devices; before a number to page on.';

create or replace function public.list_users(
  p_actor jsonb, p_limit integer, p_query text default null, p_after_at text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every account, which no API role may.
declare
  v_pattern text := '%' || replace(replace(replace(lower(p_query), '\', '\\'), '%', '\%'), '_', '\_') || '%';
begin
  perform private.require_admin(p_actor, 'viewer');
  return jsonb_build_object(
    'count', (
      select count(*) from public.users u
       where v_pattern is null or u.email like v_pattern or lower(u.name) like v_pattern
    ),
    'users', (
      select coalesce(jsonb_agg(private.user_json(page) order by page.created_at desc, page.id desc), '[]')
        from (
          select u.* from public.users u
           where (v_pattern is null or u.email like v_pattern or lower(u.name) like v_pattern)
             and (p_after_id is null or (u.created_at, u.id) < (p_after_at::timestamptz, p_after_id))
           order by u.created_at desc, u.id desc
           limit p_limit
        ) page
    )
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.list_users(jsonb, integer, text, text, uuid) to service_role;
comment on function public.list_users(jsonb, integer, text, text, uuid) is
  'Returns accounts with their balances, newest first: {count, users}. The query searches e-mail and name; after (time, id) to page on.';

-- The operator's command works on admins by name.
create or replace function public.manage_admin(
  p_command text, p_username text, p_password_hash text default null, p_role text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.admins.
declare
  v_id uuid;
  v_changed boolean;
begin
  lock table private.admins in share row exclusive mode;
  select a.id into v_id from private.admins a where a.username = p_username;
  v_changed := case p_command when 'list' then false when 'create' then v_id is null else v_id is not null end;
  if not v_changed then
    null;
  elsif p_command = 'create' then
    insert into private.admins (username, password_hash, role)
    values (p_username, p_password_hash, coalesce(p_role, 'owner'));
  elsif p_command = 'remove' then
    delete from private.admins where id = v_id;
  else
    update private.admins
       set password_hash = coalesce(p_password_hash, password_hash), role = coalesce(p_role, role),
           version = version + 1, updated_at = now()
     where id = v_id;
    delete from private.admin_sessions where admin_id = v_id;
    if p_command = 'reset-2fa' then
      perform private.drop_second_factor(v_id);
    end if;
  end if;
  if v_changed and p_command <> 'create' then
    perform private.keep_an_owner();
  end if;
  if v_changed then
    perform private.audit(
      'system:command', null, replace(p_command, '-', '_') || '_admin', 'admin:' || p_username, null,
      case when p_role is not null then jsonb_build_object('role', p_role) end
    );
  end if;
  return jsonb_build_object(
    'changed', v_changed,
    'admins', (select coalesce(jsonb_agg(private.admin_json(a) order by a.username), '[]') from private.admins a)
  );
end
$$;
grant execute on function public.manage_admin(text, text, text, text) to service_role;
comment on function public.manage_admin(text, text, text, text) is
  'Runs the operator''s command: create, passwd, role, reset-2fa, remove or list. Returns {changed, admins}; raises LAST_OWNER.';

create or replace function public.meter_chat(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of generations; no API role may write balances, holds or events itself.
declare
  v_item record;
  v_generation public.generations;
  v_balance public.balances;
  v_status text;
  v_problem text;
  v_output bigint;
  v_subjects uuid[];
  v_answer jsonb;
  v_answers jsonb[] := '{}';
  v_events public.usage_events[] := '{}';
begin
  select array_agg(distinct s.subject_id) into v_subjects
    from (
      select coalesce(g.subject_id, i.id, e.user_id) as subject_id
        from jsonb_to_recordset(p_items) as i(op text, id uuid, google_subject text, hold uuid)
        left join public.generations g on g.id = i.hold and i.op <> 'reserve'
        left join private.external_identities e on e.provider = 'google' and e.subject = i.google_subject
    ) s;
  perform from public.balances b where b.subject_id = any (v_subjects) order by b.subject_id for update;
  if exists (
    select from public.reservations r
     where r.subject_id = any (v_subjects) and r.status = 'held' and r.expires_at <= now()
  ) then
    -- A server that comes back late knows better what its stream came to than the hold does.
    perform private.settle_lost_generations(
      v_subjects, now(), array(select (i ->> 'hold')::uuid from jsonb_array_elements(p_items) i)
    );
  end if;

  for v_item in
    select i.*, coalesce(i.id, e.user_id) as user_id
      from rows from (
        jsonb_to_recordset(p_items) as (
          op text, id uuid, session_id uuid, api_key_id uuid, google_subject text, hold uuid, source text, model text,
          input_estimate bigint, output_tokens bigint, idempotency_key text, request_hash text, provider text,
          upstream_id text, provenance text, input_tokens bigint
        )
      ) with ordinality as i(
        op, id, session_id, api_key_id, google_subject, hold, source, model, input_estimate, output_tokens,
        idempotency_key, request_hash, provider, upstream_id, provenance, input_tokens, ord
      )
      left join private.external_identities e on e.provider = 'google' and e.subject = i.google_subject
     order by i.ord
  loop
    v_answer := null;
    if v_item.op = 'reserve' then
      select b.* into v_balance from public.balances b where b.subject_id = v_item.user_id;
      v_problem := private.credential_problem(v_item.user_id, v_item.session_id, v_item.api_key_id, 'chat');
      v_output := least(
        v_item.output_tokens, v_balance.allocated - v_balance.used - v_balance.reserved - v_item.input_estimate
      );
      v_answer := case
        when v_item.google_subject is not null and v_item.user_id is null then '{"code": "USER_NOT_FOUND"}'
        when v_balance.subject_id is null then '{"code": "INVALID_TOKEN"}'
        when v_problem is not null then jsonb_build_object('code', v_problem)
        when v_output < 1 then jsonb_build_object(
          'code', 'INSUFFICIENT_TOKENS', 'requested', v_item.input_estimate + 1,
          'remaining', v_balance.allocated - v_balance.used - v_balance.reserved
        )
      end;
      if v_answer is null and v_item.idempotency_key is not null then
        insert into private.idempotency_keys (subject_id, key, request_hash, answer)
        values (
          v_item.user_id, v_item.idempotency_key, decode(v_item.request_hash, 'hex'),
          jsonb_build_object('hold', v_item.hold)
        )
        on conflict (subject_id, key) do nothing;
        if not found then
          -- The answer was not kept, so it cannot be given again; it must not be paid for again either.
          select jsonb_build_object('code', case
                   when k.request_hash = decode(v_item.request_hash, 'hex') then 'ALREADY_ANSWERED'
                   else 'IDEMPOTENCY_MISMATCH'
                 end)
            into strict v_answer
            from private.idempotency_keys k
           where k.subject_id = v_item.user_id and k.key = v_item.idempotency_key;
        end if;
      end if;
      if v_answer is null then
        update public.balances b
           set reserved = b.reserved + v_item.input_estimate + v_output, updated_at = now()
         where b.subject_id = v_item.user_id
           and b.allocated - b.used - b.reserved >= v_item.input_estimate + v_output
        returning b.* into strict v_balance;
        insert into public.reservations (id, subject_id, amount, model, prompt_count, expires_at)
        values (
          v_item.hold, v_item.user_id, v_item.input_estimate + v_output, v_item.model, 1, now() + interval '5 minutes'
        );
        insert into public.generations (id, subject_id, source, model, input_estimate)
        values (v_item.hold, v_item.user_id, v_item.source, v_item.model, v_item.input_estimate);
        v_answer := jsonb_build_object(
          'output_tokens', v_output, 'remaining', v_balance.allocated - v_balance.used - v_balance.reserved
        );
      end if;
    else
      select g.* into v_generation from public.generations g where g.id = v_item.hold;
      select r.status into v_status from public.reservations r where r.id = v_item.hold;
      select b.* into v_balance from public.balances b where b.subject_id = v_generation.subject_id;
      v_generation.provider := coalesce(v_item.provider, v_generation.provider);
      v_generation.upstream_id := coalesce(v_item.upstream_id, v_generation.upstream_id);
      if v_status is null then
        v_answer := '{"code": "RESERVATION_NOT_FOUND"}';
      elsif v_item.op = 'extend' and v_status <> 'held' then
        v_answer := '{"code": "RESERVATION_SETTLED"}';
      elsif v_item.op = 'extend' then
        -- Also with nothing to add: a running stream says that it is still there, and what upstream calls it.
        v_output := case
          when exists (
            select from public.users u where u.id = v_generation.subject_id and u.suspended_at is not null
          ) then 0
          else least(v_item.output_tokens, v_balance.allocated - v_balance.used - v_balance.reserved)
        end;
        update public.balances b
           set reserved = b.reserved + v_output, updated_at = now()
         where b.subject_id = v_generation.subject_id and v_output > 0;
        update public.reservations r
           set amount = r.amount + v_output, expires_at = now() + interval '5 minutes'
         where r.id = v_item.hold;
        update public.generations g
           set provider = v_generation.provider, upstream_id = v_generation.upstream_id
         where g.id = v_item.hold
           and (g.provider, g.upstream_id) is distinct from (v_generation.provider, v_generation.upstream_id);
        v_answer := jsonb_build_object('output_tokens', v_output);
      elsif v_item.op = 'settle' then
        -- Only the first settlement counts: one that is sent again finds the hold closed.
        if v_status = 'held' and v_item.input_tokens + v_item.output_tokens > 0 then
          v_events := v_events || private.close_generation(
            v_generation, 'settled', v_item.provenance, v_item.input_tokens, v_item.output_tokens
          );
        elsif v_status = 'held' then
          -- What was not billed may be asked for again with the same key.
          delete from private.idempotency_keys k
           where k.subject_id = v_generation.subject_id and k.answer = jsonb_build_object('hold', v_item.hold);
          perform private.close_generation(v_generation, 'released', null, 0, 0);
        end if;
        select jsonb_build_object(
                 'tokens_used', g.input_tokens + g.output_tokens, 'remaining', b.allocated - b.used - b.reserved
               )
          into strict v_answer
          from public.generations g join public.balances b on b.subject_id = g.subject_id
         where g.id = v_item.hold;
      else
        raise exception 'unknown metering operation %', v_item.op using errcode = '22023';
      end if;
    end if;
    v_answers := v_answers || v_answer;
  end loop;

  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.meter_chat(jsonb) to service_role;
comment on function public.meter_chat(jsonb) is
  'Takes, extends and settles holds of chat requests in one transaction. Takes an array of {op: reserve, id, session_id | api_key_id or google_subject, hold, source, model, input_estimate, output_tokens, idempotency_key, request_hash}, {op: extend, hold, output_tokens, provider, upstream_id} and {op: settle, hold, input_tokens, output_tokens, provenance, provider, upstream_id}; returns an array in the same order: {output_tokens, remaining}, {output_tokens}, {tokens_used, remaining}, or {code, …} where the item was refused.';

-- Items are taken per device in the order given, each sees what the ones before it left, and each gets an outcome of its
-- own. Devices are locked in id order, so concurrent calls cannot deadlock.
create or replace function public.meter_devices(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of balances, events, rollups and holds; no API role may write them itself.
declare
  v_item record;
  v_device uuid;
  v_available bigint;
  v_reserved bigint;
  v_used bigint;
  v_charge bigint;
  v_answer jsonb;
  v_answers jsonb[] := '{}';
  v_keys text[] := '{}';
  v_key_positions integer[] := '{}';
  v_earlier private.idempotency_keys;
  v_hash bytea;
  v_position integer;
  v_id uuid;
  v_write uuid[];
  v_events public.usage_events[] := '{}';
  v_holds public.reservations[] := '{}';
  v_settled uuid[] := '{}';
  v_settled_events uuid[] := '{}';
  v_released bigint[] := '{}';
  v_stored private.idempotency_keys[] := '{}';
begin
  select array_agg(distinct i.device_id) into v_write
    from jsonb_to_recordset(p_items) as i(op text, device_id uuid, reserve boolean)
   where i.op = 'debit' or i.reserve
      or exists (
        select from public.reservations r
         where r.subject_id = i.device_id and r.status = 'held' and r.expires_at <= now()
      );
  if v_write is not null then
    perform from public.balances b where b.subject_id = any (v_write) order by b.subject_id for update;
    perform private.expire_reservations(v_write);
  end if;

  for v_item in
    select i.ord::integer as ord, i.op, i.device_id, i.prompt_count, coalesce(i.reserve, false) as reserve,
           i.key, i.reservation_id, i.model,
           d.id is not null and d.token_version = i.token_version as known, d.blocked, d.user_id, o.suspended_at,
           b.allocated, b.used, b.reserved, b.period,
           coalesce(c.cost, standard.cost, 1)::bigint * i.prompt_count as cost,
           r.status as hold_status, r.amount as hold_amount,
           k.request_hash as earlier_hash, k.answer as earlier_answer
      from (
        select ord, op, device_id, token_version, lower(btrim(model)) as model, prompt_count, reserve, key, reservation_id
          from rows from (
            jsonb_to_recordset(p_items) as (
              op text, device_id uuid, token_version integer, model text, prompt_count integer,
              reserve boolean, key text, reservation_id uuid
            )
          ) with ordinality as item(op, device_id, token_version, model, prompt_count, reserve, key, reservation_id, ord)
      ) i
      left join public.devices d on d.id = i.device_id
      left join public.users o on o.id = d.user_id
      left join public.balances b on b.subject_id = d.id
      left join public.model_costs c on c.model = i.model
      left join public.model_costs standard on standard.model = '*'
      left join public.reservations r on r.id = i.reservation_id and r.subject_id = i.device_id
      left join private.idempotency_keys k on k.subject_id = i.device_id and k.key = i.key
     order by i.device_id, i.ord
  loop
    if v_device is distinct from v_item.device_id then
      v_device := v_item.device_id;
      v_available := v_item.allocated - v_item.used - v_item.reserved;
      v_reserved := v_item.reserved;
      v_used := v_item.used;
      v_keys := '{}';
      v_key_positions := '{}';
    end if;

    v_hash := null;
    v_answer := case
      when not v_item.known then '{"code": "INVALID_TOKEN"}'::jsonb
      when v_item.blocked then '{"code": "DEVICE_BLOCKED"}'::jsonb
      when v_item.suspended_at is not null then '{"code": "ACCOUNT_SUSPENDED"}'::jsonb
    end;

    -- A key seen before, in an earlier call or earlier in this one, repeats its answer.
    if v_answer is null and v_item.key is not null then
      v_hash := sha256(convert_to(
        jsonb_build_array(v_item.op, v_item.reserve, v_item.model, v_item.prompt_count, v_item.reservation_id)::text, 'UTF8'
      ));
      v_earlier := row(v_device, v_item.key, v_item.earlier_hash, v_item.earlier_answer, null);
      v_position := array_position(v_keys, v_item.key);
      if v_position is not null then
        v_earlier := v_stored[v_key_positions[v_position]];
      end if;
      v_answer := case
        when v_earlier.request_hash is null then null
        when v_earlier.request_hash = v_hash then v_earlier.answer
        else '{"code": "IDEMPOTENCY_MISMATCH"}'::jsonb
      end;
    end if;

    if v_answer is null and v_item.op = 'balance' then
      v_answer := jsonb_build_object(
        'allocated', v_item.allocated, 'used', v_used, 'reserved', v_reserved, 'remaining', v_available
      );
    elsif v_answer is null and v_item.op = 'check' then
      v_answer := jsonb_build_object(
        'can_use', v_available >= v_item.cost, 'tokens_needed', v_item.cost, 'remaining', v_available
      );
      if v_item.reserve and v_available >= v_item.cost then
        v_id := gen_random_uuid();
        v_holds := v_holds || row(
          v_id, v_device, v_item.cost, 'held', v_item.model, v_item.prompt_count, null,
          now() + interval '10 minutes', now(), null
        )::public.reservations;
        v_available := v_available - v_item.cost;
        v_reserved := v_reserved + v_item.cost;
        v_answer := v_answer || jsonb_build_object(
          'remaining', v_available, 'reservation_id', v_id, 'expires_at', now() + interval '10 minutes'
        );
      end if;
    elsif v_answer is null and v_item.op = 'debit' then
      -- An expired hold guarantees nothing: its usage is debited like any other.
      v_charge := case
        when v_item.hold_status = 'held' and v_item.reservation_id <> all (v_settled) then v_item.hold_amount
        else 0
      end;
      v_answer := case
        when v_item.reservation_id is not null and v_item.hold_status is null
          then '{"code": "RESERVATION_NOT_FOUND"}'::jsonb
        when v_item.hold_status = 'settled' or v_item.reservation_id = any (v_settled)
          then '{"code": "RESERVATION_SETTLED"}'::jsonb
        when v_available + v_charge < v_item.cost
          then jsonb_build_object(
            'code', 'INSUFFICIENT_TOKENS', 'requested', v_item.cost, 'remaining', v_available + v_charge
          )
      end;
      if v_answer is null then
        v_id := gen_random_uuid();
        v_events := v_events || row(
          v_id, v_device, v_item.user_id, v_device, 'device', 'unknown', v_item.model, v_item.prompt_count,
          0, 0, 0, v_item.cost, 'client_reported', v_item.period, null, now(), now()
        )::public.usage_events;
        if v_item.hold_status = 'held' then
          v_settled := v_settled || v_item.reservation_id;
          v_settled_events := v_settled_events || v_id;
          v_released := v_released || v_charge;
        end if;
        v_available := v_available + v_charge - v_item.cost;
        v_reserved := v_reserved - v_charge;
        v_used := v_used + v_item.cost;
        v_answer := jsonb_build_object('event_id', v_id, 'tokens_used', v_item.cost, 'remaining', v_available);
      end if;
    elsif v_answer is null then
      raise exception 'unknown metering operation %', v_item.op using errcode = '22023';
    end if;

    -- Only what took effect is remembered: a refused write moved nothing and may be tried again.
    if v_hash is not null and v_earlier.request_hash is null
       and (v_answer ? 'event_id' or v_answer ? 'reservation_id') then
      v_stored := v_stored || row(v_device, v_item.key, v_hash, v_answer, now())::private.idempotency_keys;
      v_keys := v_keys || v_item.key;
      v_key_positions := v_key_positions || cardinality(v_stored);
    end if;
    v_answers[v_item.ord] := v_answer;
  end loop;

  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  if cardinality(v_holds) > 0 then
    insert into public.reservations select h.* from unnest(v_holds) h;
  end if;
  if cardinality(v_settled) > 0 then
    update public.reservations r
       set status = 'settled', closed_at = now(), usage_event_id = s.event_id
      from unnest(v_settled, v_settled_events) as s(id, event_id)
     where r.id = s.id;
  end if;
  if cardinality(v_stored) > 0 then
    insert into private.idempotency_keys select k.* from unnest(v_stored) k;
  end if;

  update public.balances b
     set used = b.used + change.used, reserved = b.reserved + change.reserved, updated_at = now()
    from (
      select subject_id, sum(used)::bigint as used, sum(reserved)::bigint as reserved
        from (
          select e.subject_id, e.cost as used, 0 as reserved from unnest(v_events) e
          union all
          select h.subject_id, 0, h.amount from unnest(v_holds) h
          union all
          select r.subject_id, 0, -released.amount
            from unnest(v_settled, v_released) as released(id, amount)
            join public.reservations r on r.id = released.id
        ) parts
       group by subject_id
    ) change
   where b.subject_id = change.subject_id;

  return to_jsonb(v_answers);
end
$$;
grant execute on function public.meter_devices(jsonb) to service_role;
comment on function public.meter_devices(jsonb) is
  'Makes balance reads, checks, holds and debits of devices in one transaction. Takes an array of {op, device_id, token_version, model, prompt_count, reserve, key, reservation_id}, returns an array of outcomes in the same order: the result, or {code, …} where the item was refused.';

create or replace function public.my_balance()
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_user_id uuid := public.require_current_user('usage:read');
begin
  return (
    select jsonb_build_object(
             'allocated', coalesce(b.allocated, 0), 'used', coalesce(b.used, 0), 'reserved', coalesce(b.reserved, 0),
             'remaining', coalesce(b.allocated - b.used - b.reserved, 0), 'debt', coalesce(b.debt, 0)
           )
      from (select 1) one left join public.balances b on b.subject_id = v_user_id
  );
end
$$;
grant execute on function public.my_balance() to authenticated;
comment on function public.my_balance() is 'Returns the caller''s balance: {allocated, used, reserved, remaining, debt}.';

create or replace function public.my_ledger(
  p_limit integer, p_after_at text default null, p_after_kind text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('usage:read');
  v_at timestamptz;
  v_kind text := coalesce(p_after_kind, '');
  v_id uuid := coalesce(p_after_id, '00000000-0000-0000-0000-000000000000');
begin
  v_at := coalesce(p_after_at::timestamptz, 'infinity');
  -- Each source is cut to a page by its own index before the three are put in one order.
  return (
    select coalesce(
             jsonb_agg(jsonb_strip_nulls(to_jsonb(page)) order by page.created_at desc, page.kind desc, page.id desc), '[]'
           )
      from (
        (
          -- Who did it is told, which admin it was is not.
          select e.id, e.kind, e.amount, case when e.actor like 'admin:%' then 'admin' else 'system' end as provenance,
                 null as model, null as provider, null as source, e.reference, null as status,
                 null::timestamptz as expires_at, e.created_at
            from public.ledger_entries e
           where e.subject_id = v_user_id
             and e.created_at <= v_at and (e.created_at, e.kind, e.id) < (v_at, v_kind, v_id)
           order by e.created_at desc, e.kind desc, e.id desc
           limit p_limit
        )
        union all
        (
          select e.id, 'debit', -e.cost, e.provenance, e.model, e.provider, e.source, null, null, null, e.occurred_at
            from public.usage_events e
           where e.subject_id = v_user_id and e.cost > 0 and e.source <> 'device'
             and e.occurred_at <= v_at and (e.occurred_at, 'debit', e.id) < (v_at, v_kind, v_id)
           order by e.occurred_at desc, e.id desc
           limit p_limit
        )
        union all
        (
          select r.id, 'hold', r.amount, 'estimated', r.model, null, null, null, r.status, r.expires_at, r.created_at
            from public.reservations r
           where r.subject_id = v_user_id
             and r.created_at <= v_at and (r.created_at, 'hold', r.id) < (v_at, v_kind, v_id)
           order by r.created_at desc, r.id desc
           limit p_limit
        )
        order by created_at desc, kind desc, id desc
        limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.my_ledger(integer, text, text, uuid) to authenticated;
comment on function public.my_ledger(integer, text, text, uuid) is
  'Returns the caller''s grants and corrections, debits (negative) and holds in one list, newest first; after (time, kind, id) to page on.';

create or replace function public.my_settings()
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('settings');
begin
  return (
    select jsonb_build_object(
             'settings', coalesce(v.settings, '{}'), 'version', coalesce(s.version, 0),
             'last_synced_at', s.last_synced_at
           )
      from (select 1) one
      left join public.settings s on s.user_id = v_user_id
      left join public.settings_versions v on v.user_id = s.user_id and v.version = s.version
  );
end
$$;
grant execute on function public.my_settings() to authenticated;
comment on function public.my_settings() is 'Returns the caller''s settings: {settings, version, last_synced_at}.';

create or replace function public.my_settings_changes(p_since bigint)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('settings');
  v_settings public.settings;
  v_full boolean;
begin
  select s.* into v_settings from public.settings s where s.user_id = v_user_id;
  -- Also for a version there never was: a device may remember more than a database that was restored.
  v_full := p_since = 0 or p_since < coalesce(v_settings.pruned_version, 0) or p_since > coalesce(v_settings.version, 0);
  return jsonb_build_object(
    'version', coalesce(v_settings.version, 0), 'last_synced_at', v_settings.last_synced_at, 'full', v_full,
    'changes', (
      select coalesce(jsonb_object_agg(
               e.name,
               jsonb_build_object('updated_at', e.updated_at, 'device', nullif(e.device, ''), 'version', e.version)
                 || case when e.deleted then '{"deleted": true}' else jsonb_build_object('value', e.value) end
             ), '{}')
        from public.settings_entries e
       where e.user_id = v_user_id and (v_full or e.version > p_since)
    )
  );
end
$$;
grant execute on function public.my_settings_changes(bigint) to authenticated;
comment on function public.my_settings_changes(bigint) is
  'Returns what changed in the caller''s settings after a version, deletions included: {version, last_synced_at, full, changes}; full where that is everything there is.';

create or replace function public.my_settings_history()
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('settings');
begin
  return (
    select jsonb_build_object('versions', coalesce(
             jsonb_agg(
               jsonb_build_object(
                 'version', v.version, 'settings', v.settings, 'action', v.action, 'device', nullif(v.device, ''),
                 'created_at', v.created_at
               )
               order by v.version desc
             ), '[]'))
      from public.settings_versions v where v.user_id = v_user_id
  );
end
$$;
grant execute on function public.my_settings_history() to authenticated;
comment on function public.my_settings_history() is
  'Returns the last 20 versions of the caller''s settings, newest first: {versions: [{version, settings, action, device, created_at}]}.';

-- The usage queries run with their caller's rights: for a person row-level security decides, and for an admin list_all_usage
-- and summarize_all_usage ask for everybody.
create or replace function public.own_subjects()
returns uuid[]
language sql stable set search_path = ''
as $$
  select array_agg(subject_id)
    from (
      select public.require_current_user('usage:read') as subject_id
      union all
      select d.id from public.devices d where d.user_id = (select public.current_user_id())
    ) own
$$;
grant execute on function public.own_subjects() to authenticated;
comment on function public.own_subjects() is
  'Returns the caller and their devices: whose rows to look for. Row-level security still decides which of them are seen.';

create or replace function public.push_settings(
  p_caller jsonb, p_base_version bigint, p_changes jsonb, p_device text default ''
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller, 'settings');
  v_won jsonb;
  v_overruled jsonb;
begin
  with state as (
    select coalesce(max(s.pruned_version), 0) as pruned_version, coalesce(max(s.pruned_at), 0) as pruned_at
      from public.settings s where s.user_id = v_user_id
  ),
  -- Where a deletion may have been forgotten, an old change of a device that has not heard of it brings nothing back.
  judged as materialized (
    select c.*, e.name is null as is_new, e.value as standing_value,
           coalesce(e.updated_at, s.pruned_at) as standing_at,
           coalesce(e.version, s.pruned_version) as standing_version, e.device as standing_device,
           case
             when e.name is null then c.updated_at > s.pruned_at or p_base_version >= s.pruned_version
             else (c.updated_at, p_device collate "C", c.claimed_at, coalesce(c.value::text, '') collate "C")
               > (e.updated_at, e.device, e.claimed_at, coalesce(e.value::text, '') collate "C")
           end as wins
      from private.resolve_timestamps(v_user_id, p_device, p_changes) c
     cross join state s
      left join public.settings_entries e on e.user_id = v_user_id and e.name = c.name
  )
  select jsonb_agg(jsonb_build_object(
           'name', j.name, 'value', j.value, 'deleted', j.value is null,
           'updated_at', j.updated_at, 'claimed_at', j.claimed_at
         )) filter (where j.wins),
         jsonb_object_agg(
           j.name,
           jsonb_build_object('updated_at', j.standing_at, 'device', nullif(j.standing_device, ''), 'version', j.standing_version)
             || case when j.standing_value is null then '{"deleted": true}'
                  else jsonb_build_object('value', j.standing_value) end
         ) filter (where not j.wins and j.value is distinct from j.standing_value)
    into v_won, v_overruled
    from judged j;
  if v_won is not null then
    perform private.write_settings(v_user_id, 'push', p_device, v_won);
  end if;
  return private.settings_json(v_user_id) || jsonb_build_object('overruled', coalesce(v_overruled, '{}'));
end
$$;
grant execute on function public.push_settings(jsonb, bigint, jsonb, text) to service_role;
comment on function public.push_settings(jsonb, bigint, jsonb, text) is
  'Merges changes {name: {value | deleted, updated_at}} into the caller''s settings; of two of a name the newest wins, then the greater device. Returns {settings, version, last_synced_at, overruled}, overruled with the changes that stand instead; raises SETTINGS_TOO_LARGE.';

create or replace function public.put_settings(
  p_caller jsonb, p_settings jsonb, p_versions bigint[] default null, p_device text default ''
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller, 'settings');
begin
  -- Returned, not raised: the document must not get into the database's log.
  if p_versions is not null and not (
    coalesce((select s.version from public.settings s where s.user_id = v_user_id), 0) = any (p_versions)
  ) then
    return private.settings_json(v_user_id) || '{"stale": true}';
  end if;
  perform private.overwrite_settings(v_user_id, 'put', p_device, p_settings);
  return private.settings_json(v_user_id) || '{"stale": false}';
end
$$;
grant execute on function public.put_settings(jsonb, jsonb, bigint[], text) to service_role;
comment on function public.put_settings(jsonb, jsonb, bigint[], text) is
  'Replaces the caller''s settings where they are at one of the versions, or at any. Returns {settings, version, last_synced_at, stale}, stale with the document that stands; raises SETTINGS_TOO_LARGE.';

create or replace function public.record_failed_admin_login(p_username text, p_session jsonb)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes the audit log, which no API role may.
begin
  -- A name nobody has is not written down: people type their password there.
  perform private.audit(
    'system:login', p_session ->> 'request_id', 'fail_sign_in',
    (select 'admin:' || a.username from private.admins a where a.username = p_username), null, null, p_session ->> 'address'
  );
  return true;
end
$$;
grant execute on function public.record_failed_admin_login(text, jsonb) to service_role;
comment on function public.record_failed_admin_login(text, jsonb) is
  'Records a log-in with a wrong name or password, with its {request_id, address}; the limits bound how many there are.';

create or replace function public.record_features(p_items jsonb, p_retention_months integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of feature events and their rollups.
declare
  v_answers jsonb;
begin
  perform private.hold_users(p_items);
  with item as materialized (
    select r.ord, r.id as user_id, r.name, r.properties, gen_random_uuid() as event_id,
           coalesce(timestamptz 'epoch' + r.timestamp_ms * interval '1 millisecond', now()) as occurred_at,
           private.credential_problem(r.id, r.session_id, r.api_key_id, 'usage:write') as problem
      from rows from (
        jsonb_to_recordset(p_items) as (
          id uuid, session_id uuid, api_key_id uuid, name text, properties jsonb, timestamp_ms bigint
        )
      ) with ordinality as r(id, session_id, api_key_id, name, properties, timestamp_ms, ord)
  ),
  judged as materialized (
    select i.*, case
        when i.problem is not null then i.problem
        when i.occurred_at > now() + interval '5 minutes'
          or i.occurred_at < private.usage_horizon(p_retention_months) then 'TIMESTAMP_OUT_OF_RANGE'
      end as code
      from item i
  ),
  recorded as (
    insert into public.feature_events (id, user_id, name, properties, occurred_at)
    select j.event_id, j.user_id, j.name, j.properties, j.occurred_at from judged j where j.code is null
  ),
  counted as (
    insert into public.feature_rollups as r (user_id, bucket, name, events)
    select j.user_id, date_bin('15 minutes', j.occurred_at, 'epoch'), j.name, count(*)
      from judged j where j.code is null
     group by 1, 2, 3
     order by 1, 2, 3
    on conflict (user_id, bucket, name) do update set events = r.events + excluded.events
  )
  select jsonb_agg(
           case when j.code is null then jsonb_build_object('id', j.event_id, 'recorded', true)
             else jsonb_build_object('code', j.code) end
           order by j.ord
         )
    into v_answers
    from judged j;
  return v_answers;
end
$$;
grant execute on function public.record_features(jsonb, integer) to service_role;
comment on function public.record_features(jsonb, integer) is
  'Records uses of features. Takes an array of {id, session_id | api_key_id, name, properties, timestamp_ms}, returns an array in the same order: {id, recorded}, or {code}.';

create or replace function public.record_usage(p_items jsonb, p_retention_months integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of observed events and their rollups; no API role may write them itself.
declare
  v_horizon timestamptz := private.usage_horizon(p_retention_months);
  v_item record;
  v_code text;
  v_earlier jsonb;
  v_hash bytea;
  v_position integer;
  v_answers jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_items)]);
  v_ids uuid[] := array_fill(null::uuid, array[jsonb_array_length(p_items)]);
  v_events public.usage_events[] := '{}';
  v_stored private.idempotency_keys[] := '{}';
  v_keys text[] := '{}';
  v_new_keys integer;
  v_inserted uuid[] := '{}';
begin
  perform private.hold_users(p_items);
  for v_item in
    select i.*, c.problem, b.period, k.request_hash as earlier_hash, k.answer as earlier_answer,
           private.usage_event_id(
             i.user_id, i.timestamp_ms,
             case when i.key is null then i.content else jsonb_build_array('key', i.key) end
           ) as event_id
      from (
        select p.*, timestamptz 'epoch' + p.timestamp_ms * interval '1 millisecond' as occurred_at,
               jsonb_build_array(
                 p.provider, p.model, p.timestamp_ms, p.input_tokens, p.output_tokens, p.url
               ) as content
          from (
            select r.ord::integer as ord, r.id as user_id, r.session_id, r.api_key_id, r.provider,
                   lower(btrim(r.model)) as model, r.input_tokens, r.output_tokens, r.total_tokens,
                   r.timestamp_ms, private.plain_url(r.url) as url, r.key
              from rows from (
                jsonb_to_recordset(p_items) as (
                  id uuid, session_id uuid, api_key_id uuid, provider text, model text, input_tokens bigint,
                  output_tokens bigint, total_tokens bigint, timestamp_ms bigint, url text, key text
                )
              ) with ordinality as r(
                id, session_id, api_key_id, provider, model, input_tokens, output_tokens, total_tokens, timestamp_ms,
                url, key, ord
              )
          ) p
      ) i
      left join lateral (
        select private.credential_problem(i.user_id, i.session_id, i.api_key_id, 'usage:write') as problem
      ) c on true
      left join public.balances b on b.subject_id = i.user_id
      left join private.idempotency_keys k on k.subject_id = i.user_id and k.key = i.key
     order by i.ord
  loop
    v_hash := case when v_item.key is not null then sha256(convert_to(v_item.content::text, 'UTF8')) end;
    v_position := array_position(v_keys, v_item.user_id || v_item.key);
    v_earlier := case
      when v_item.earlier_hash is not null then v_item.earlier_answer
      when v_position is not null then v_stored[v_position].answer
    end;
    v_code := case
      when v_item.problem is not null then v_item.problem
      when v_item.total_tokens <> v_item.input_tokens + v_item.output_tokens then 'TOTAL_MISMATCH'
      when v_earlier is not null and coalesce(v_item.earlier_hash, v_stored[v_position].request_hash) <> v_hash
        then 'IDEMPOTENCY_MISMATCH'
      when v_earlier is not null then null
      when v_item.occurred_at > now() + interval '5 minutes' or v_item.occurred_at < v_horizon
        then 'TIMESTAMP_OUT_OF_RANGE'
    end;
    if v_code is not null then
      v_answers[v_item.ord] := jsonb_build_object('code', v_code);
    elsif v_earlier is not null then
      v_answers[v_item.ord] := v_earlier || '{"recorded": true, "duplicate": true}';
    else
      v_ids[v_item.ord] := v_item.event_id;
      v_events := v_events || row(
        v_item.event_id, v_item.user_id, v_item.user_id, null, 'extension', v_item.provider, v_item.model, 1,
        v_item.input_tokens, v_item.output_tokens, v_item.input_tokens + v_item.output_tokens, 0,
        'client_reported', v_item.period, v_item.url, v_item.occurred_at, now()
      )::public.usage_events;
      if v_item.key is not null then
        v_stored := v_stored || row(
          v_item.user_id, v_item.key, v_hash, jsonb_build_object('id', v_item.event_id), now()
        )::private.idempotency_keys;
        v_keys := v_keys || (v_item.user_id || v_item.key);
      end if;
    end if;
  end loop;

  if cardinality(v_stored) > 0 then
    with stored as (
      insert into private.idempotency_keys select s.* from unnest(v_stored) s order by s.subject_id, s.key
      on conflict do nothing returning 1
    )
    select count(*) into v_new_keys from stored;
    -- Somebody used one of the keys meanwhile: the whole call is made again and then sees it.
    if v_new_keys < cardinality(v_stored) then
      raise sqlstate '40001' using message = 'an idempotency key was used at the same time';
    end if;
  end if;

  if cardinality(v_events) > 0 then
    v_inserted := private.record_new_usage_events(v_events);
  end if;

  return (
    select jsonb_agg(
             coalesce(a.answer, jsonb_build_object(
               'id', a.id, 'recorded', true, 'duplicate', a.nth > 1 or not a.id = any (v_inserted)
             )) order by a.ord
           )
      from (
        select answer, id, ord, row_number() over (partition by id order by ord) as nth
          from unnest(v_answers, v_ids) with ordinality as u(answer, id, ord)
      ) a
  );
end
$$;
grant execute on function public.record_usage(jsonb, integer) to service_role;
comment on function public.record_usage(jsonb, integer) is
  'Records what extensions observed. Takes an array of {id, session_id | api_key_id, provider, model, input_tokens, output_tokens, total_tokens, timestamp_ms, url, key}, returns an array in the same order: {id, recorded, duplicate}, or {code} where the event was refused.';

create or replace function public.refresh_session(p_token_hash text, p_successor_hash text, p_lifetime_seconds integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and their tokens. Returns an outcome instead of raising, as a stolen
-- token's session must stay ended.
declare
  v_hash bytea := decode(p_token_hash, 'hex');
  v_successor_hash bytea := decode(p_successor_hash, 'hex');
  v_expires_at timestamptz := now() + make_interval(secs => p_lifetime_seconds);
  v_session private.sessions;
  v_token private.refresh_tokens;
begin
  -- The session's row serialises all that happens to its tokens; what they are is read after the wait for it.
  select s.* into v_session
    from private.sessions s
   where s.id = (select t.session_id from private.refresh_tokens t where t.token_hash = v_hash)
     for update;
  select t.* into v_token from private.refresh_tokens t where t.token_hash = v_hash;
  if v_session.id is null or v_token.token_hash is null or v_session.expires_at <= now() or v_token.expires_at <= now() then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  -- While nobody has used its successor, nobody is known to have it: the answer was lost, or several requests of one
  -- client carry the same token. Afterwards one of two holders is a thief.
  if v_token.used_at is not null and not exists (
    select from private.refresh_tokens t where t.token_hash = v_token.successor_hash and t.used_at is null
  ) then
    delete from private.sessions where id = v_session.id;
    perform private.audit('system:sessions', null, 'refresh_token_reused', 'user:' || v_session.user_id, null, null);
    return jsonb_build_object('outcome', 'reused');
  end if;

  if exists (select from public.users u where u.id = v_session.user_id and u.suspended_at is not null) then
    raise sqlstate 'PT403' using message = 'ACCOUNT_SUSPENDED';
  end if;

  -- Under another secret the successor is another one, and takes the place of the first: there is one lineage.
  delete from private.refresh_tokens where token_hash = v_token.successor_hash and token_hash <> v_successor_hash;
  update private.refresh_tokens set used_at = now(), successor_hash = v_successor_hash where token_hash = v_hash;
  insert into private.refresh_tokens (token_hash, session_id, expires_at)
  values (v_successor_hash, v_session.id, v_expires_at)
  on conflict (token_hash) do update set expires_at = excluded.expires_at;
  update private.sessions set last_used_at = now(), expires_at = v_expires_at where id = v_session.id;
  return jsonb_build_object('outcome', 'refreshed') || private.session_json(v_session.id);
end
$$;
grant execute on function public.refresh_session(text, text, integer) to service_role;
comment on function public.refresh_session(text, text, integer) is
  'Exchanges a refresh token for its successor (both as SHA-256 in hex), also again while that was never used. Returns {outcome: refreshed, session_id, user}, unknown, or reused: then the session has been ended. Raises ACCOUNT_SUSPENDED.';

create or replace function public.remove_second_factor(p_actor jsonb, p_proof jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes second factors, which no API role may. Returns an outcome, as what was counted must stay.
declare
  v_actor text := private.require_admin(p_actor, null);
  v_proved jsonb := private.prove_second_factor((p_actor ->> 'id')::uuid, p_proof);
begin
  if v_proved ->> 'outcome' = 'proved' then
    perform private.drop_second_factor((p_actor ->> 'id')::uuid);
    update private.admin_sessions set second_factor = false where admin_id = (p_actor ->> 'id')::uuid;
    perform private.audit_admin(p_actor, 'remove_second_factor', v_actor);
  end if;
  return v_proved;
end
$$;
grant execute on function public.remove_second_factor(jsonb, jsonb) to service_role;
comment on function public.remove_second_factor(jsonb, jsonb) is
  'Turns the calling admin''s second factor off, against one more code of it; returns what prove_second_factor says.';

create or replace function public.require_current_user(p_scope text default 'account')
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and keys.
declare
  v_claims jsonb := auth.jwt();
  v_user_id uuid := (v_claims ->> 'sub')::uuid;
begin
  perform private.refuse_credential(
    private.credential_problem(v_user_id, (v_claims ->> 'sid')::uuid, (v_claims ->> 'key_id')::uuid, p_scope), p_scope
  );
  return v_user_id;
end
$$;
grant execute on function public.require_current_user(text) to authenticated;
comment on function public.require_current_user(text) is
  'Returns the account the request''s token is about; raises what require_user does. Policies ask current_user_id, which raises nothing.';

create or replace function public.reset_password(p_token_hash text, p_password_hash text, p_revoke_keys boolean default false)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: reads and writes credentials, which no API role may.
declare
  v_hash bytea := decode(p_token_hash, 'hex');
  v_user_id uuid;
begin
  select r.user_id into v_user_id from private.password_resets r where r.token_hash = v_hash;
  -- The account before its link, as where the account is deleted.
  perform from public.users u where u.id = v_user_id for no key update;
  delete from private.password_resets r
   where r.token_hash = v_hash and r.user_id = v_user_id and r.expires_at > now();
  if not found then
    raise sqlstate 'PT400' using message = 'INVALID_RESET_TOKEN';
  end if;
  -- Whoever followed the link reads the address's mail. What others may have left in the account before that goes
  -- first, so that the new password stays.
  perform private.prove_email(v_user_id);
  insert into private.user_credentials as c (user_id, password_hash) values (v_user_id, p_password_hash)
  on conflict (user_id) do update set password_hash = excluded.password_hash, updated_at = now();
  perform private.end_sessions(v_user_id);
  return jsonb_build_object('api_keys', private.keys_after_password(v_user_id, p_revoke_keys));
end
$$;
grant execute on function public.reset_password(text, text, boolean) to service_role;
comment on function public.reset_password(text, text, boolean) is
  'Uses up the token (SHA-256, hex): proves the address, sets the password (argon2id hash) and ends every session and, where wished, the API keys. Returns {api_keys}: those that go on; raises INVALID_RESET_TOKEN for one that is unknown, used, expired or not the newest.';

create or replace function public.restore_settings(p_caller jsonb, p_version bigint, p_device text default '')
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller, 'settings');
  v_settings jsonb;
begin
  select v.settings into v_settings
    from public.settings_versions v where v.user_id = v_user_id and v.version = p_version;
  if not found then
    raise sqlstate 'PT404' using message = 'SETTINGS_VERSION_NOT_FOUND';
  end if;
  perform private.overwrite_settings(v_user_id, 'restore', p_device, v_settings);
  return private.settings_json(v_user_id);
end
$$;
grant execute on function public.restore_settings(jsonb, bigint, text) to service_role;
comment on function public.restore_settings(jsonb, bigint, text) is
  'Makes one of the last 20 versions of the caller''s settings the next one. Returns {settings, version, last_synced_at}; raises SETTINGS_VERSION_NOT_FOUND.';

-- A tier that is given is in force like one that is paid, until it is changed; it grants no tokens.
create or replace function public.set_account_plan(p_actor jsonb, p_user_id uuid, p_tier text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes subscriptions, which no API role may.
declare
  v_target text;
  v_before jsonb;
  v_is_free constant boolean := p_tier = 'free';
begin
  perform private.require_admin(p_actor);
  v_target := private.require_account(p_user_id);
  v_before := private.account_json(p_user_id);
  if not v_is_free or exists (select from public.subscriptions s where s.user_id = p_user_id) then
    insert into public.subscriptions as s (user_id, tier, status, current_period_start)
    values (
      p_user_id, case when not v_is_free then p_tier end, case when v_is_free then 'none' else 'active' end,
      case when not v_is_free then now() end
    )
    on conflict (user_id) do update
      set tier = excluded.tier, status = excluded.status, current_period_start = excluded.current_period_start,
          version = s.version + 1, updated_at = now()
    -- What is paid for is Stripe's to tell.
    where s.stripe_subscription_id is null;
    if not found then
      raise sqlstate 'PT409' using message = 'SUBSCRIPTION_RUNNING';
    end if;
  end if;
  perform private.audit_admin(
    p_actor, 'set_plan', v_target, jsonb_build_object('tier', v_before -> 'tier'), jsonb_build_object('tier', p_tier)
  );
  return private.account_json(p_user_id);
end
$$;
grant execute on function public.set_account_plan(jsonb, uuid, text) to service_role;
comment on function public.set_account_plan(jsonb, uuid, text) is
  'Gives an account a tier without payment, or takes it back with free. Returns the account; raises USER_NOT_FOUND, and SUBSCRIPTION_RUNNING for one that subscribed at Stripe.';

create or replace function public.set_budget(p_actor jsonb, p_kind text, p_total bigint default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes the pools, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_before bigint;
begin
  select total into strict v_before from public.budgets where subject_kind = p_kind for update;
  update public.budgets set total = p_total, updated_at = now() where subject_kind = p_kind;
  perform private.audit_admin(
    p_actor, 'set_budget', p_kind,
    jsonb_build_object('total', v_before), jsonb_build_object('total', p_total)
  );
  return private.budget_json(p_kind);
end
$$;
grant execute on function public.set_budget(jsonb, text, bigint) to service_role;
comment on function public.set_budget(jsonb, text, bigint) is
  'Sets the size of a pool, null for unlimited. One smaller than what is allocated only stops further allocations.';

create or replace function public.set_model_costs(p_actor jsonb, p_costs jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read model_costs.
declare
  v_actor text := private.require_admin(p_actor);
  v_before jsonb := public.list_model_costs(p_actor);
begin
  -- The price of all other models can be changed, never removed.
  delete from public.model_costs c
   using jsonb_to_recordset(p_costs) as given(model text, cost integer)
   where c.model = lower(btrim(given.model)) and given.cost is null and c.model <> '*';
  insert into public.model_costs (model, cost)
  select distinct on (1) lower(btrim(given.model)), given.cost
    from rows from (jsonb_to_recordset(p_costs) as (model text, cost integer)) with ordinality as given(model, cost, ord)
   where given.cost is not null
   order by 1, given.ord desc
  on conflict (model) do update set cost = excluded.cost, updated_at = now()
   where public.model_costs.cost <> excluded.cost;
  perform private.audit_admin(
    p_actor, 'set_model_costs', null, v_before, public.list_model_costs(p_actor)
  );
  return public.list_model_costs(p_actor);
end
$$;
grant execute on function public.set_model_costs(jsonb, jsonb) to service_role;
comment on function public.set_model_costs(jsonb, jsonb) is
  'Sets the prices given as [{model, cost}], removes those whose cost is null, leaves the others. Returns all prices.';

create or replace function public.summarize_all_usage(
  p_actor jsonb, p_from text, p_to text, p_time_zone text, p_group_by text[], p_user_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: an admin may ask about everybody, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return public.summarize_usage(p_from, p_to, p_time_zone, p_group_by, private.account_subjects(p_user_id));
end
$$;
grant execute on function public.summarize_all_usage(jsonb, text, text, text, text[], uuid) to service_role;
comment on function public.summarize_all_usage(jsonb, text, text, text, text[], uuid) is
  'Runs summarize_usage for an admin: of everybody, or of one account with its devices.';

create or replace function public.summarize_features(
  p_from text, p_to text, p_time_zone text, p_by_day boolean, p_name text default null
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('usage:read');
  v_range record;
begin
  select * into v_range from public.usage_range(p_from, p_to, p_time_zone);
  return (
    with cells as (
      select case when p_by_day then (r.bucket at time zone p_time_zone)::date end as day, r.name,
             sum(r.events)::bigint as events
        from public.feature_rollups r
       where r.user_id = v_user_id and r.bucket >= v_range.range_from and r.bucket < v_range.range_to
         and (p_name is null or r.name = p_name)
       group by 1, 2
    )
    select jsonb_build_object(
      'from', v_range.range_from, 'to', v_range.range_to, 'time_zone', p_time_zone,
      'totals', jsonb_build_object('events', coalesce(sum(c.events), 0)),
      'series', coalesce(
        jsonb_agg(
          case when p_by_day then jsonb_build_object('day', c.day) else '{}' end
            || jsonb_build_object('name', c.name, 'events', c.events)
          order by c.day, c.events desc, c.name
        ), '[]'
      )
    ) from cells c
  );
end
$$;
grant execute on function public.summarize_features(text, text, text, boolean, text) to authenticated;
comment on function public.summarize_features(text, text, text, boolean, text) is
  'Returns how often the caller used each feature in a range, also per day: {from, to, time_zone, totals, series}. Raises RANGE_NOT_VALID.';

create or replace function public.suspend_account(p_actor jsonb, p_user_id uuid, p_suspended boolean)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes accounts, which no API role may.
declare
  v_target text;
begin
  perform private.require_admin(p_actor);
  v_target := private.require_account(p_user_id);
  update public.users set suspended_at = case when p_suspended then coalesce(suspended_at, now()) end
   where id = p_user_id;
  perform private.audit_admin(p_actor, case when p_suspended then 'suspend_user' else 'unsuspend_user' end, v_target);
  return private.account_json(p_user_id);
end
$$;
grant execute on function public.suspend_account(jsonb, uuid, boolean) to service_role;
comment on function public.suspend_account(jsonb, uuid, boolean) is
  'Keeps an account, its keys and its devices from everything, from the very next request on, or lets them go on. Returns the account; raises USER_NOT_FOUND.';

-- Items are taken per account in the order given, each gets an outcome of its own.
create or replace function public.track_usage(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of the counters and the events behind them; no API role may write them itself.
declare
  v_most constant bigint := 9007199254740991;
  v_users uuid[];
  v_item record;
  v_user uuid;
  v_prompts bigint;
  v_tokens bigint;
  v_answer jsonb;
  v_answers jsonb[] := '{}';
  v_hash bytea;
  v_earlier private.idempotency_keys;
  v_keys text[] := '{}';
  v_stored private.idempotency_keys[] := '{}';
  v_position integer;
  v_events public.usage_events[] := '{}';
begin
  select array_agg(distinct i.user_id) into v_users from jsonb_to_recordset(p_items) as i(user_id uuid);
  -- Counters are made and then locked, both in id order, so concurrent calls cannot deadlock.
  insert into public.tracker_counters (user_id)
  select u.id from public.users u where u.id = any (v_users) order by u.id
  on conflict (user_id) do nothing;
  perform from public.tracker_counters c where c.user_id = any (v_users) order by c.user_id for update;

  for v_item in
    select i.ord::integer as ord, i.user_id, i.usage, i.token_count, i.key,
           c.user_id is not null as known, u.suspended_at, c.prompts, c.tokens, b.period,
           k.request_hash as earlier_hash, k.answer as earlier_answer
      from rows from (
        jsonb_to_recordset(p_items) as (user_id uuid, usage integer, token_count bigint, key text)
      ) with ordinality as i(user_id, usage, token_count, key, ord)
      left join public.tracker_counters c on c.user_id = i.user_id
      left join public.users u on u.id = i.user_id
      left join public.balances b on b.subject_id = i.user_id
      left join private.idempotency_keys k on k.subject_id = i.user_id and k.key = i.key
     order by i.user_id, i.ord
  loop
    if v_user is distinct from v_item.user_id then
      v_user := v_item.user_id;
      v_prompts := v_item.prompts;
      v_tokens := v_item.tokens;
    end if;

    v_hash := null;
    v_answer := case
      when not v_item.known then '{"code": "USER_NOT_FOUND"}'::jsonb
      when v_item.suspended_at is not null then '{"code": "ACCOUNT_SUSPENDED"}'::jsonb
    end;

    -- A key seen before, in an earlier call or earlier in this one, repeats its answer.
    if v_answer is null and v_item.key is not null then
      v_hash := sha256(convert_to(jsonb_build_array('track', v_item.usage, v_item.token_count)::text, 'UTF8'));
      v_position := array_position(v_keys, v_user || v_item.key);
      v_earlier := row(v_user, v_item.key, v_item.earlier_hash, v_item.earlier_answer, null);
      if v_position is not null then
        v_earlier := v_stored[v_position];
      end if;
      v_answer := case
        when v_earlier.request_hash is null then null
        when v_earlier.request_hash = v_hash then v_earlier.answer
        else '{"code": "IDEMPOTENCY_MISMATCH"}'::jsonb
      end;
    end if;

    if v_answer is null and (v_item.usage > v_most - v_prompts or v_item.token_count > v_most - v_tokens) then
      v_answer := '{"code": "COUNTER_FULL"}'::jsonb;
    elsif v_answer is null then
      v_prompts := v_prompts + v_item.usage;
      v_tokens := v_tokens + v_item.token_count;
      v_events := v_events || row(
        gen_random_uuid(), v_user, v_user, null, 'tracker', 'unknown', 'unknown', v_item.usage,
        0, 0, v_item.token_count, 0, 'client_reported', v_item.period, null, now(), now()
      )::public.usage_events;
      v_answer := jsonb_build_object('prompts', v_prompts, 'tokens', v_tokens);
      -- Only what took effect is remembered: a refused item counted nothing and may be tried again.
      if v_hash is not null then
        v_stored := v_stored || row(v_user, v_item.key, v_hash, v_answer, now())::private.idempotency_keys;
        v_keys := array_append(v_keys, v_user || v_item.key);
      end if;
    end if;
    v_answers[v_item.ord] := v_answer;
  end loop;

  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  if cardinality(v_stored) > 0 then
    insert into private.idempotency_keys select k.* from unnest(v_stored) k;
  end if;
  update public.tracker_counters c
     set prompts = c.prompts + tracked.prompts, tokens = c.tokens + tracked.tokens, updated_at = now()
    from (
      select e.user_id, sum(e.prompt_count) as prompts, sum(e.total_tokens) as tokens
        from unnest(v_events) e group by e.user_id
    ) tracked
   where c.user_id = tracked.user_id;
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.track_usage(jsonb) to service_role;
comment on function public.track_usage(jsonb) is
  'Adds to the counters of accounts in one transaction. Takes an array of {user_id, usage, token_count, key}, returns an array of outcomes in the same order: {prompts, tokens} after the item, or {code} where it was refused.';

create or replace function public.update_admin(
  p_actor jsonb, p_id uuid, p_role text default null, p_password_hash text default null,
  p_reset_second_factor boolean default false
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may write private.admins.
declare
  v_before private.admins;
  v_admin private.admins;
begin
  -- Of two owners who demote each other at once, the second finds itself without the right.
  lock table private.admins in share row exclusive mode;
  perform private.require_admin(p_actor, 'owner');
  select * into v_before from private.admins where id = p_id;
  if not found then
    raise sqlstate 'PT404' using message = 'ADMIN_NOT_FOUND';
  end if;
  update private.admins
     set role = coalesce(p_role, role), password_hash = coalesce(p_password_hash, password_hash),
         version = version + 1, updated_at = now()
   where id = p_id
  returning * into v_admin;
  perform private.keep_an_owner();
  -- Tokens say the role, and whoever needs a new password or second factor may not be the only one who has the old.
  delete from private.admin_sessions where admin_id = p_id;
  if p_reset_second_factor then
    perform private.drop_second_factor(p_id);
  end if;
  perform private.audit_admin(
    p_actor, 'update_admin', 'admin:' || v_admin.username, jsonb_build_object('role', v_before.role),
    jsonb_build_object(
      'role', v_admin.role, 'password_set', p_password_hash is not null, 'second_factor_reset', p_reset_second_factor
    )
  );
  return private.admin_json(v_admin);
end
$$;
grant execute on function public.update_admin(jsonb, uuid, text, text, boolean) to service_role;
comment on function public.update_admin(jsonb, uuid, text, text, boolean) is
  'Sets an admin''s role or password, or removes their second factor, for an owner, and ends their sessions. Returns them; raises ADMIN_NOT_FOUND, LAST_OWNER.';

create or replace function public.update_device(
  p_actor jsonb, p_device_id uuid, p_blocked boolean default null, p_name text default null, p_rotate boolean default false
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_before jsonb := private.lock_device(p_device_id);
  v_after jsonb;
begin
  update public.devices
     set blocked = coalesce(p_blocked, blocked),
         name = coalesce(p_name, name),
         token_version = token_version + case when p_rotate then 1 else 0 end
   where id = p_device_id;
  v_after := private.device_json(p_device_id);
  perform private.audit_admin(
    p_actor,
    case
      when p_rotate then 'rotate_device'
      when p_name is not null then 'rename_device'
      when p_blocked then 'block_device'
      else 'unblock_device'
    end,
    'device:' || p_device_id, v_before, v_after
  );
  return v_after;
end
$$;
grant execute on function public.update_device(jsonb, uuid, boolean, text, boolean) to service_role;
comment on function public.update_device(jsonb, uuid, boolean, text, boolean) is
  'Blocks or unblocks, renames, or rotates the tokens of a device. Returns the device; raises DEVICE_NOT_FOUND.';

create or replace function public.verify_ledger_as(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: verify_ledger reads every row.
begin
  perform private.require_admin(p_actor, 'viewer');
  return (
    select jsonb_build_object('ok', bool_and(v.ok), 'checks', jsonb_agg(to_jsonb(v))) from public.verify_ledger() v
  );
end
$$;
grant execute on function public.verify_ledger_as(jsonb) to service_role;
comment on function public.verify_ledger_as(jsonb) is 'Runs verify_ledger for an admin: {ok, checks: [{name, ok, checked, discrepancies}]}.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127212624', '442222fe39a64a4e25ce73c39c68f76294f0386e35b0b337c37d906e30de5675');
