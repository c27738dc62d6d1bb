-- OAuth: signing in with an account at Google or GitHub. What must survive between two requests of a sign-in lies
-- here, so that any server may answer the second; secrets only as their SHA-256.

create table if not exists private.oauth_flows (
  state_hash bytea primary key check (length(state_hash) = 32),
  provider text not null check (provider in ('google', 'github')),
  redirect_uri text check (length(redirect_uri) <= 2048),
  client_state text check (length(client_state) <= 512),
  code_challenge text check (length(code_challenge) = 43),
  expires_at timestamptz not null default now() + interval '10 minutes'
);
create index if not exists oauth_flows_expiry_idx on private.oauth_flows (expires_at);
alter table private.oauth_flows enable row level security;
comment on table private.oauth_flows is 'Sign-ins that were sent to a provider and have not come back.';
comment on column private.oauth_flows.state_hash is 'SHA-256 of the state sent along, by which the answer is recognised.';
comment on column private.oauth_flows.provider is 'google or github: only its answer counts.';
comment on column private.oauth_flows.redirect_uri is 'Where the client wants its code; null to answer the browser itself.';
comment on column private.oauth_flows.client_state is 'The client''s own state, given back unread.';
comment on column private.oauth_flows.code_challenge is 'The client''s PKCE challenge (S256), if it sent one.';
comment on column private.oauth_flows.expires_at is 'Until when the provider may answer.';

create table if not exists private.oauth_codes (
  code_hash bytea primary key check (length(code_hash) = 32),
  user_id uuid not null references public.users (id) on delete cascade,
  redirect_uri text not null,
  code_challenge text check (length(code_challenge) = 43),
  expires_at timestamptz not null default now() + interval '2 minutes'
);
create index if not exists oauth_codes_expiry_idx on private.oauth_codes (expires_at);
create index if not exists oauth_codes_user_idx on private.oauth_codes (user_id);
alter table private.oauth_codes enable row level security;
comment on table private.oauth_codes is 'Codes clients were given after a sign-in, each good for one session.';
comment on column private.oauth_codes.code_hash is 'SHA-256 of the code.';
comment on column private.oauth_codes.user_id is 'The account that signed in.';
comment on column private.oauth_codes.redirect_uri is 'Where the code was sent.';
comment on column private.oauth_codes.code_challenge is 'PKCE challenge (S256) whose verifier must come with the code.';
comment on column private.oauth_codes.expires_at is 'Until when it may be swapped.';

create or replace function public.begin_oauth_flow(
  p_state_hash text, p_provider text, p_redirect_uri text default null, p_client_state text default null,
  p_code_challenge text default null
)
returns boolean
language sql volatile security definer set search_path = ''
as $$
-- Definer: flows are open to no API role.
  insert into private.oauth_flows (state_hash, provider, redirect_uri, client_state, code_challenge)
  values (decode(p_state_hash, 'hex'), p_provider, p_redirect_uri, p_client_state, p_code_challenge)
  returning true
$$;
revoke all on function public.begin_oauth_flow(text, text, text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.begin_oauth_flow(text, text, text, text, text) to service_role;
comment on function public.begin_oauth_flow(text, text, text, text, text) is
  'Remembers for 10 minutes a sign-in that is sent to a provider, by the SHA-256 (hex) of its state.';

create or replace function public.take_oauth_flow(p_state_hash text, p_provider text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: flows are open to no API role.
declare
  v_flow private.oauth_flows;
begin
  delete from private.oauth_flows f
   where f.state_hash = decode(p_state_hash, 'hex') and f.provider = p_provider and f.expires_at > now()
  returning f.* into v_flow;
  if not found then
    raise sqlstate 'PT400' using message = 'INVALID_GRANT';
  end if;
  return jsonb_build_object(
    'redirect_uri', v_flow.redirect_uri, 'client_state', v_flow.client_state, 'code_challenge', v_flow.code_challenge
  );
end
$$;
revoke all on function public.take_oauth_flow(text, text) from public, anon, authenticated, service_role;
grant execute on function public.take_oauth_flow(text, text) to service_role;
comment on function public.take_oauth_flow(text, text) is
  'Ends a sign-in the provider answers: {redirect_uri, client_state, code_challenge}, once. Raises INVALID_GRANT for an unknown, expired or other provider''s state.';

-- The identity is {provider, subject, email, name, picture}; the provider verified the address.
create or replace function private.resolve_external_identity(p_identity jsonb, p_default_tokens bigint)
returns public.users
language plpgsql volatile set search_path = ''
as $$
declare
  v_provider text := p_identity ->> 'provider';
  v_subject text := p_identity ->> 'subject';
  v_email text := p_identity ->> 'email';
  v_user public.users;
begin
  -- Sign-ins of one person at the same moment wait for each other, whatever address each of them names.
  perform pg_advisory_xact_lock(hashtextextended('external identity ' || v_provider || ' ' || v_subject, 0));

  -- Who somebody is, the provider's subject says; the address may have changed since, there or here.
  with used as (
    update private.external_identities i set last_used_at = now(), email = v_email
     where i.provider = v_provider and i.subject = v_subject
    returning i.user_id
  )
  select u.* into v_user from public.users u join used on used.user_id = u.id;
  if found then
    return v_user;
  end if;

  loop
    -- Holds back sessions and keys that are just being made for the account until it is clear whose it is.
    select u.* into v_user from public.users u where u.email = v_email for update;
    exit when found;
    v_user := private.create_account(
      v_email, p_identity ->> 'name', p_identity ->> 'picture', p_default_tokens, 'system:' || v_provider
    );
    exit when v_user.id is not null;
    -- Somebody took the address in between: look again who.
  end loop;

  -- The name of an account nobody proved was a stranger's word, as everything else `prove_email` removes.
  update public.users u set name = p_identity ->> 'name', picture = p_identity ->> 'picture'
   where u.id = v_user.id and u.email_verified_at is null;
  perform private.prove_email(v_user.id);

  -- A second subject of one provider with the same address is another person: the address was given to somebody new
  -- after the first one left, as companies do. It must not open the first one's account.
  insert into private.external_identities (provider, subject, user_id, email)
  values (v_provider, v_subject, v_user.id, v_email)
  on conflict (user_id, provider) do nothing;
  if not found then
    return null;
  end if;
  select u.* into v_user from public.users u where u.id = v_user.id;
  return v_user;
end
$$;
revoke all on function private.resolve_external_identity(jsonb, bigint) from public, anon, authenticated, service_role;
comment on function private.resolve_external_identity(jsonb, bigint) is
  'The account a provider''s identity opens: its own, the one with its address, or a new one. Nulls where the address belongs to another person of that provider.';

create or replace function public.log_in_externally(p_identity jsonb, p_default_tokens bigint, p_session jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes users, identities and sessions, which no API role may.
declare
  v_user public.users := private.resolve_external_identity(p_identity, p_default_tokens);
begin
  if v_user.id is null then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  return private.open_session(v_user.id, p_session);
end
$$;
revoke all on function public.log_in_externally(jsonb, bigint, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.log_in_externally(jsonb, bigint, jsonb) to service_role;
comment on function public.log_in_externally(jsonb, bigint, jsonb) is
  'Opens a session for a provider''s identity {provider, subject, email, name, picture}. Answers {session_id, user}; raises INVALID_CREDENTIALS.';

create or replace function public.grant_oauth_code(
  p_identity jsonb, p_default_tokens bigint, p_code_hash text, p_redirect_uri text, p_code_challenge text default null
)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes users, identities and codes, which no API role may.
declare
  v_user public.users := private.resolve_external_identity(p_identity, p_default_tokens);
begin
  if v_user.id is null then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  insert into private.oauth_codes (code_hash, user_id, redirect_uri, code_challenge)
  values (decode(p_code_hash, 'hex'), v_user.id, p_redirect_uri, p_code_challenge);
  return true;
end
$$;
revoke all on function public.grant_oauth_code(jsonb, bigint, text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.grant_oauth_code(jsonb, bigint, text, text, text) to service_role;
comment on function public.grant_oauth_code(jsonb, bigint, text, text, text) is
  'Keeps for 2 minutes the SHA-256 (hex) of a code that opens a session for a provider''s identity; raises INVALID_CREDENTIALS.';

create or replace function public.swap_oauth_code(
  p_code_hash text, p_session jsonb, p_redirect_uri text default null, p_code_challenge text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: codes and sessions are open to no API role. Answers a refusal instead of raising it, so that a code that
-- came with a wrong verifier stays burnt.
declare
  v_code private.oauth_codes;
begin
  delete from private.oauth_codes c where c.code_hash = decode(p_code_hash, 'hex') returning c.* into v_code;
  -- A verifier where no challenge was given is refused too (RFC 9700, 4.8.2).
  if v_code.expires_at > now()
     and v_code.code_challenge is not distinct from p_code_challenge
     and v_code.redirect_uri = coalesce(p_redirect_uri, v_code.redirect_uri)
  then
    return private.open_session(v_code.user_id, p_session) || '{"granted": true}';
  end if;
  return '{"granted": false}';
end
$$;
revoke all on function public.swap_oauth_code(text, jsonb, text, text) from public, anon, authenticated, service_role;
grant execute on function public.swap_oauth_code(text, jsonb, text, text) to service_role;
comment on function public.swap_oauth_code(text, jsonb, text, text) is
  'Uses a code up: {granted: true, session_id, user} where it is good and what it is bound to was given, or {granted: false}.';

create or replace function public.user_of_google(p_identity jsonb, p_default_tokens bigint)
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
  return private.user_json(v_user);
end
$$;
revoke all on function public.user_of_google(jsonb, bigint) from public, anon, authenticated, service_role;
grant execute on function public.user_of_google(jsonb, bigint) to service_role;
comment on function public.user_of_google(jsonb, bigint) is
  'The account of a person Google vouches for, made where there is none yet; raises INVALID_ACCESS_TOKEN where the address is another person''s.';

create or replace function private.prune_oauth()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_flows integer;
  v_codes integer;
begin
  delete from private.oauth_flows where expires_at < now();
  get diagnostics v_flows = row_count;
  delete from private.oauth_codes where expires_at < now();
  get diagnostics v_codes = row_count;
  return v_flows + v_codes;
end
$$;
revoke all on function private.prune_oauth() from public, anon, authenticated, service_role;
comment on function private.prune_oauth() is 'Removes sign-ins and codes whose time is over; answers how many.';
