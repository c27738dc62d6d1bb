-- Accounts, identity: how people prove who they are, and what every statement made in their name asks first.

alter table public.users add column if not exists email_verified_at timestamptz;
grant select on table public.users to authenticated;
comment on column public.users.email_verified_at is
  'When the address was proved, by a link mailed to it or by a sign-in provider; null for an address nobody proved yet.';

create table if not exists private.sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  created_at timestamptz not null default now(),
  last_used_at timestamptz not null default now(),
  expires_at timestamptz not null,
  user_agent text check (length(user_agent) <= 300),
  address text check (length(address) <= 100)
);
create index if not exists sessions_user_idx on private.sessions (user_id, created_at, id);
create index if not exists sessions_expiry_idx on private.sessions (expires_at);
alter table private.sessions enable row level security;
comment on table private.sessions is 'One row a log-in. Deleting it ends the session: its access and refresh tokens die with it.';
comment on column private.sessions.id is 'The session''s id, in its access tokens.';
comment on column private.sessions.user_id is 'The account.';
comment on column private.sessions.created_at is 'When the person logged in.';
comment on column private.sessions.last_used_at is 'When its tokens were last refreshed.';
comment on column private.sessions.expires_at is 'When it ends unless it is refreshed before.';
comment on column private.sessions.user_agent is 'The program that logged in, as it names itself.';
comment on column private.sessions.address is 'The network address it logged in from.';

create table if not exists private.refresh_tokens (
  token_hash bytea primary key check (length(token_hash) = 32),
  session_id uuid not null references private.sessions (id) on delete cascade,
  successor_hash bytea check (length(successor_hash) = 32),
  created_at timestamptz not null default now(),
  used_at timestamptz,
  expires_at timestamptz not null,
  constraint refresh_tokens_used_has_successor check ((used_at is null) = (successor_hash is null))
);
create index if not exists refresh_tokens_session_idx on private.refresh_tokens (session_id);
create index if not exists refresh_tokens_expiry_idx on private.refresh_tokens (expires_at);
alter table private.refresh_tokens enable row level security;
comment on table private.refresh_tokens is 'Every refresh token of a session; one of them is unused. A used one that turns up again was stolen.';
comment on column private.refresh_tokens.token_hash is 'SHA-256 of the token.';
comment on column private.refresh_tokens.session_id is 'The session it continues.';
comment on column private.refresh_tokens.successor_hash is 'SHA-256 of the token it was exchanged for.';
comment on column private.refresh_tokens.created_at is 'When it was issued.';
comment on column private.refresh_tokens.used_at is 'When it was exchanged.';
comment on column private.refresh_tokens.expires_at is 'When it ends, used or not.';

create table if not exists private.api_keys (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  name text not null check (length(name) between 1 and 100),
  prefix text not null check (length(prefix) between 4 and 20),
  key_hash bytea not null unique check (length(key_hash) = 32),
  created_at timestamptz not null default now(),
  last_used_at timestamptz,
  expires_at timestamptz
);
create index if not exists api_keys_user_idx on private.api_keys (user_id, created_at, id);
alter table private.api_keys enable row level security;
comment on table private.api_keys is 'Keys people made for their scripts. Deleting the row ends the key.';
comment on column private.api_keys.id is 'The key''s id.';
comment on column private.api_keys.user_id is 'The account it acts for.';
comment on column private.api_keys.name is 'What the person calls it.';
comment on column private.api_keys.prefix is 'Its first characters, to tell it from others.';
comment on column private.api_keys.key_hash is 'SHA-256 of the key; the key itself is shown once and not kept.';
comment on column private.api_keys.created_at is 'When it was made.';
comment on column private.api_keys.last_used_at is 'When it was last used, to the minute.';
comment on column private.api_keys.expires_at is 'When it ends; null for never.';

create table if not exists private.external_identities (
  provider text not null check (provider in ('google', 'github')),
  subject text not null check (length(subject) between 1 and 255),
  user_id uuid not null references public.users (id) on delete cascade,
  email text not null check (length(email) between 3 and 320),
  created_at timestamptz not null default now(),
  last_used_at timestamptz not null default now(),
  primary key (provider, subject),
  unique (user_id, provider)
);
alter table private.external_identities enable row level security;
comment on table private.external_identities is 'Accounts at sign-in providers that open an account here.';
comment on column private.external_identities.provider is 'google or github.';
comment on column private.external_identities.subject is 'The provider''s own id of the person, which never changes.';
comment on column private.external_identities.user_id is 'The account it opens.';
comment on column private.external_identities.email is 'The address the provider last named.';
comment on column private.external_identities.created_at is 'When it was linked.';
comment on column private.external_identities.last_used_at is 'When it last signed in.';

create or replace function private.is_live(p_user_id uuid, p_session_id uuid, p_api_key_id uuid)
returns boolean
language sql stable set search_path = ''
as $$
  select case
    when p_session_id is not null then exists (
      select from private.sessions s where s.id = p_session_id and s.user_id = p_user_id and s.expires_at > now()
    )
    when p_api_key_id is not null then exists (
      select from private.api_keys k
       where k.id = p_api_key_id and k.user_id = p_user_id and (k.expires_at is null or k.expires_at > now())
    )
    else exists (select from public.users u where u.id = p_user_id)
  end
$$;
revoke all on function private.is_live(uuid, uuid, uuid) from public, anon, authenticated, service_role;
comment on function private.is_live(uuid, uuid, uuid) is
  'Whether the session or API key is good for this account at the moment; with neither, whether the account exists.';

-- Every function that acts for a person begins with this: the credential is looked at in the transaction it is used in.
create or replace function private.require_user(p_caller jsonb)
returns uuid
language plpgsql stable set search_path = ''
as $$
declare
  v_user_id uuid := (p_caller ->> 'id')::uuid;
begin
  if not private.is_live(v_user_id, (p_caller ->> 'session_id')::uuid, (p_caller ->> 'api_key_id')::uuid) then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  return v_user_id;
end
$$;
revoke all on function private.require_user(jsonb) from public, anon, authenticated, service_role;
comment on function private.require_user(jsonb) is
  'The account of the caller {id, session_id | api_key_id}; raises INVALID_TOKEN where the session or key has ended.';

create or replace function public.current_user_id()
returns uuid
language sql stable security definer set search_path = ''
as $$
-- Definer: sessions and keys are open to no API role, but policies must ask for them.
  select c.user_id
    from (
      select (auth.jwt() ->> 'sub')::uuid as user_id, (auth.jwt() ->> 'sid')::uuid as session_id,
             (auth.jwt() ->> 'key_id')::uuid as api_key_id
    ) c
   where private.is_live(c.user_id, c.session_id, c.api_key_id)
$$;
revoke all on function public.current_user_id() from public, anon, authenticated, service_role;
grant execute on function public.current_user_id() to authenticated;
comment on function public.current_user_id() is
  'The account the request''s token is about; null where the session (sid) or API key (key_id) it names has ended.';

create or replace function public.require_current_user()
returns uuid
language plpgsql stable set search_path = ''
as $$
declare
  v_user_id uuid := public.current_user_id();
begin
  if v_user_id is null then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  return v_user_id;
end
$$;
revoke all on function public.require_current_user() from public, anon, authenticated, service_role;
grant execute on function public.require_current_user() to authenticated;
comment on function public.require_current_user() is 'current_user_id, or INVALID_TOKEN where it is nobody.';

-- Row-level security asks for the session too, so that one that has ended reads nothing from that moment on.
drop policy if exists users_read_own on public.users;
create policy users_read_own on public.users
  for select to authenticated
  using (id = (select public.current_user_id()));

drop policy if exists devices_read_own on public.devices;
create policy devices_read_own on public.devices
  for select to authenticated
  using (
    id = (select (auth.jwt() ->> 'device_id')::uuid)
    or user_id = (select public.current_user_id())
  );

do $$
declare
  v_table text;
begin
  foreach v_table in array array['balances', 'ledger_entries', 'usage_events', 'usage_rollups', 'reservations'] loop
    execute format('drop policy if exists %I on public.%I', v_table || '_read_own', v_table);
    execute format(
      $policy$
        create policy %I on public.%I
          for select to authenticated
          using (
            subject_id = (select (auth.jwt() ->> 'device_id')::uuid)
            or subject_id = (select public.current_user_id())
            or subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
          )
      $policy$,
      v_table || '_read_own', v_table
    );
  end loop;
end
$$;

create or replace function private.create_account(
  p_email text, p_name text, p_picture text, p_tokens bigint, p_actor text
)
returns public.users
language plpgsql volatile set search_path = ''
as $$
declare
  v_user public.users;
begin
  insert into public.users (email, name, picture) values (p_email, p_name, p_picture)
  on conflict (email) do nothing
  returning * into v_user;
  if v_user.id is not null then
    perform private.open_balance(v_user.id, 'user', p_tokens, p_actor);
  end if;
  return v_user;
end
$$;
revoke all on function private.create_account(text, text, text, bigint, text) from public, anon, authenticated, service_role;
comment on function private.create_account(text, text, text, bigint, text) is
  'Creates an account and opens its balance; answers nulls where the address is taken.';

create or replace function private.end_sessions(p_user_id uuid, p_except uuid default null)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_ended integer;
begin
  delete from private.sessions s where s.user_id = p_user_id and s.id is distinct from p_except;
  get diagnostics v_ended = row_count;
  return v_ended;
end
$$;
revoke all on function private.end_sessions(uuid, uuid) from public, anon, authenticated, service_role;
comment on function private.end_sessions(uuid, uuid) is 'Ends the sessions of an account, but for one; answers how many.';

-- Somebody may have registered with an address that is not theirs and wait for its owner. Whoever proves the address
-- first gets the account without anything the other could still open it with.
create or replace function private.prove_email(p_user_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  -- What is being hung on the account at this moment waits, and is then asked whether its session still is.
  perform from public.users where id = p_user_id for update;
  update public.users set email_verified_at = now(), updated_at = now()
   where id = p_user_id and email_verified_at is null;
  if not found then
    return;
  end if;
  perform private.end_sessions(p_user_id);
  delete from private.user_credentials where user_id = p_user_id;
  delete from private.api_keys where user_id = p_user_id;
  delete from private.external_identities where user_id = p_user_id;
  update public.devices set user_id = null where user_id = p_user_id;
end
$$;
revoke all on function private.prove_email(uuid) from public, anon, authenticated, service_role;
comment on function private.prove_email(uuid) is
  'Marks the address as proved; the first time removes every credential and device link made before.';
