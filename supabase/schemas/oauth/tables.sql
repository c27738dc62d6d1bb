-- Signing in with an account at Google or GitHub. What must survive between two requests of a sign-in lies
-- here, so that any server may answer the second; secrets only as their SHA-256.

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
comment on table private.external_identities is 'Accounts at sign-in providers that open an account here.';
comment on column private.external_identities.provider is 'google or github.';
comment on column private.external_identities.subject is 'The provider''s own id of the person, which never changes.';
comment on column private.external_identities.user_id is 'The account it opens.';
comment on column private.external_identities.email is 'The address the provider last named.';
comment on column private.external_identities.created_at is 'When it was linked.';
comment on column private.external_identities.last_used_at is 'When it last signed in.';

create table if not exists private.oauth_flows (
  state_hash bytea primary key check (length(state_hash) = 32),
  provider text not null check (provider in ('google', 'github')),
  redirect_uri text check (length(redirect_uri) <= 2048),
  client_state text check (length(client_state) <= 512),
  code_challenge text check (length(code_challenge) = 43),
  expires_at timestamptz not null default now() + interval '10 minutes'
);
create index if not exists oauth_flows_expiry_idx on private.oauth_flows (expires_at);
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
comment on table private.oauth_codes is 'Codes clients were given after a sign-in, each good for one session.';
comment on column private.oauth_codes.code_hash is 'SHA-256 of the code.';
comment on column private.oauth_codes.user_id is 'The account that signed in.';
comment on column private.oauth_codes.redirect_uri is 'Where the code was sent.';
comment on column private.oauth_codes.code_challenge is 'PKCE challenge (S256) whose verifier must come with the code.';
comment on column private.oauth_codes.expires_at is 'Until when it may be exchanged.';
