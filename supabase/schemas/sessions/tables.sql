-- Log-ins: sessions with their refresh tokens, and what slows down guessing.

create table if not exists private.sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  created_at timestamptz not null default now(),
  last_used_at timestamptz not null default now(),
  expires_at timestamptz not null,
  user_agent text check (length(user_agent) <= 300),
  address text check (length(address) <= 100),
  proved_at timestamptz not null default now()
);
create index if not exists sessions_user_idx on private.sessions (user_id, created_at, id);
create index if not exists sessions_expiry_idx on private.sessions (expires_at);
comment on table private.sessions is 'One row a log-in. Deleting it ends the session: its access and refresh tokens die with it.';
comment on column private.sessions.id is 'The session''s id, in its access tokens.';
comment on column private.sessions.user_id is 'The account.';
comment on column private.sessions.created_at is 'When the person logged in.';
comment on column private.sessions.last_used_at is 'When its tokens were last refreshed.';
comment on column private.sessions.expires_at is 'When it ends unless it is refreshed before.';
comment on column private.sessions.user_agent is 'The program that logged in, as it names itself.';
comment on column private.sessions.address is 'The network address it logged in from.';
comment on column private.sessions.proved_at is 'When the person last proved who they are: at the log-in, or since.';

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
comment on table private.refresh_tokens is 'Every refresh token of a session; one of them is unused. A used one that turns up again was stolen.';
comment on column private.refresh_tokens.token_hash is 'SHA-256 of the token.';
comment on column private.refresh_tokens.session_id is 'The session it continues.';
comment on column private.refresh_tokens.successor_hash is 'SHA-256 of the token it was exchanged for.';
comment on column private.refresh_tokens.created_at is 'When it was issued.';
comment on column private.refresh_tokens.used_at is 'When it was exchanged.';
comment on column private.refresh_tokens.expires_at is 'When it ends, used or not.';

create table if not exists private.login_attempts (
  scope text not null,
  key text not null,
  attempts integer not null check (attempts >= 0),
  window_ends_at timestamptz not null,
  primary key (scope, key)
);
create index if not exists login_attempts_window_idx on private.login_attempts (window_ends_at);
comment on table private.login_attempts is 'Log-in attempts counted before the password is looked at, per address and per account.';
comment on column private.login_attempts.scope is 'What is counted: admin:address, admin:account, or admin:known for an address that has logged in before.';
comment on column private.login_attempts.key is 'The address, the account, or both.';
comment on column private.login_attempts.attempts is 'Attempts in the current window.';
comment on column private.login_attempts.window_ends_at is 'When counting starts anew.';
comment on column private.login_attempts.scope is
  'What is counted: admin: or user: followed by address, account, or known for an address that has logged in before; and others.';

create table if not exists private.known_addresses (
  account text not null,
  address text not null,
  last_login_at timestamptz not null default now(),
  primary key (account, address)
);
comment on table private.known_addresses is 'Addresses an account has logged in from: strangers who try its name cannot use up their attempts.';
comment on column private.known_addresses.account is 'Scope and name of the account.';
comment on column private.known_addresses.address is 'The address.';
comment on column private.known_addresses.last_login_at is 'The last successful log-in from it.';

create table if not exists private.proof_codes (
  session_id uuid primary key references private.sessions (id) on delete cascade,
  code_hash bytea not null check (length(code_hash) = 32),
  expires_at timestamptz not null
);
comment on table private.proof_codes is 'The newest code mailed to the owner of a session, to prove that it is them.';
comment on column private.proof_codes.session_id is 'The session it proves.';
comment on column private.proof_codes.code_hash is 'HMAC-SHA256 of the code, under a key the database does not have: a code is short.';
comment on column private.proof_codes.expires_at is 'When the code ends.';
