-- The first migration: the whole schema.

-- foundation/schemas.sql

-- Nothing is callable or readable unless it is granted by name.

-- Functions may call each other, so they are created unchecked; "npm run migration" and the tests check them all.
set check_function_bodies = off;

-- Postgres lets everybody execute new functions; only a global revoke changes that default.
alter default privileges revoke execute on functions from public;

-- Supabase grants its API roles everything on new objects in `public`; here grants are explicit.
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke execute on functions from anon, authenticated, service_role;

create schema if not exists private;
revoke all on schema private from public;
comment on schema private is 'Secrets, helpers and partitions. Not exposed by the Data API, granted to no API role.';

create schema if not exists supabase_migrations;
revoke all on schema supabase_migrations from public;

-- foundation/tables.sql

-- The record of migrations: which versions ran, and with which text.

-- Where `supabase db push` keeps its versions; created here for every other way to migrate.
create table if not exists supabase_migrations.schema_migrations (
  version text primary key,
  statements text[],
  name text
);

create table if not exists private.migration_checksums (
  version text primary key,
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  applied_at timestamptz not null default now()
);
comment on table private.migration_checksums is 'The text each migration ran with. Every migration writes its own row at its end, whatever applies it.';
comment on column private.migration_checksums.version is 'The UTC time the migration''s file name starts with.';
comment on column private.migration_checksums.sha256 is 'SHA-256 (hex) of the migration''s text above the statement that writes this row.';
comment on column private.migration_checksums.applied_at is 'When that text ran.';

-- accounts/tables.sql

-- Accounts: the people usage is counted for.

create table if not exists public.users (
  id uuid primary key default gen_random_uuid(),
  email text not null unique check (email = lower(email) and length(email) between 3 and 320),
  name text check (length(name) <= 200),
  picture text check (length(picture) <= 2048),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  email_verified_at timestamptz
);
create index if not exists users_created_at_idx on public.users (created_at, id);
comment on table public.users is 'People with an account. Secrets (password hashes, tokens) live in the schema private.';
comment on column public.users.id is 'The account''s id, also the subject id of its balance.';
comment on column public.users.email is 'Lower-case e-mail address, unique.';
comment on column public.users.name is 'Display name, if given.';
comment on column public.users.picture is 'Address of a profile picture, if given.';
comment on column public.users.created_at is 'When the account was created.';
comment on column public.users.updated_at is 'When the profile last changed.';
comment on column public.users.email_verified_at is
  'When the address was proved, by a link mailed to it or by a sign-in provider; null for an address nobody proved yet.';

create table if not exists private.user_credentials (
  user_id uuid primary key references public.users (id) on delete cascade,
  password_hash text not null check (password_hash like '$argon2id$%'),
  updated_at timestamptz not null default now()
);
comment on table private.user_credentials is 'Passwords of accounts that have one.';
comment on column private.user_credentials.user_id is 'The account.';
comment on column private.user_credentials.password_hash is 'argon2id hash of the password.';
comment on column private.user_credentials.updated_at is 'When the password last changed.';

-- sessions/tables.sql

-- Log-ins: sessions with their refresh tokens, and what slows down guessing.

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

-- api_keys/tables.sql

-- Keys for people's scripts.

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
comment on table private.api_keys is 'Keys people made for their scripts. Deleting the row ends the key.';
comment on column private.api_keys.id is 'The key''s id.';
comment on column private.api_keys.user_id is 'The account it acts for.';
comment on column private.api_keys.name is 'What the person calls it.';
comment on column private.api_keys.prefix is 'Its first characters, to tell it from others.';
comment on column private.api_keys.key_hash is 'SHA-256 of the key; the key itself is shown once and not kept.';
comment on column private.api_keys.created_at is 'When it was made.';
comment on column private.api_keys.last_used_at is 'When it was last used, to the minute.';
comment on column private.api_keys.expires_at is 'When it ends; null for never.';

-- password_reset/tables.sql

-- A mailed link proves the address and sets a new password, once.

create table if not exists private.password_resets (
  email text primary key,
  user_id uuid references public.users (id) on delete cascade,
  token_hash bytea not null unique check (length(token_hash) = 32),
  requested_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index if not exists password_resets_user_idx on private.password_resets (user_id);
create index if not exists password_resets_expires_idx on private.password_resets (expires_at);
comment on table private.password_resets is
  'The newest link mailed to each address. Asking writes a row whether or not there is an account, so that neither the answer nor its time tells.';
comment on column private.password_resets.email is 'The address asked for, in lower case.';
comment on column private.password_resets.user_id is 'The account, or null where there is none: nothing was mailed then.';
comment on column private.password_resets.token_hash is 'SHA-256 of the 256 random bits in the link.';
comment on column private.password_resets.requested_at is 'When the link was asked for.';
comment on column private.password_resets.expires_at is 'When the link ends.';

-- oauth/tables.sql

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

-- devices/tables.sql

-- The installations of an extension that hold a token balance.

create table if not exists public.devices (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references public.users (id) on delete set null,
  name text not null check (length(name) between 1 and 200),
  fingerprint_hash bytea unique check (length(fingerprint_hash) = 32),
  token_version integer not null default 1 check (token_version > 0),
  blocked boolean not null default false,
  registrations integer not null default 1 check (registrations > 0),
  last_registered_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  deleted_at timestamptz,
  first_user_id uuid,
  constraint devices_deleted_has_no_fingerprint check ((fingerprint_hash is null) = (deleted_at is not null))
);
create index if not exists devices_created_at_idx on public.devices (created_at, id) where deleted_at is null;
create index if not exists devices_user_id_idx on public.devices (user_id);
comment on table public.devices is 'Installations of an extension. Each has one balance of tokens and a bearer token of its own.';
comment on column public.devices.id is 'The device''s id, also the subject id of its balance.';
comment on column public.devices.user_id is 'The account the device is linked to, if any.';
comment on column public.devices.name is 'Name given at the first registration; an admin may change it.';
comment on column public.devices.fingerprint_hash is 'SHA-256 of the hardware fingerprint; the fingerprint itself is not kept, nor its hash after the device is deleted.';
comment on column public.devices.token_version is 'Tokens carry this number; raising it invalidates all earlier ones.';
comment on column public.devices.blocked is 'A blocked device can neither spend nor ask.';
comment on column public.devices.registrations is 'How often the device registered: extensions do so on every activation.';
comment on column public.devices.last_registered_at is 'When the device registered last.';
comment on column public.devices.created_at is 'When the device registered first.';
comment on column public.devices.deleted_at is 'When an admin removed the device; its usage stays in the books.';
comment on column public.devices.first_user_id is
  'The account it was linked to first, kept when it is unlinked: it can be linked to no other.';

-- ledger/tables.sql

-- What everybody may spend, and the entries that prove it.

create table if not exists public.balances (
  subject_id uuid primary key,
  subject_kind text not null check (subject_kind in ('device', 'user')),
  allocated bigint not null default 0 check (allocated between 0 and 9007199254740991),
  used bigint not null default 0 check (used >= 0),
  reserved bigint not null default 0 check (reserved >= 0),
  period integer not null default 1 check (period > 0),
  updated_at timestamptz not null default now(),
  debt bigint not null default 0 check (debt >= 0),
  constraint balances_never_overspent check (used + reserved <= allocated)
) with (fillfactor = 50);
comment on table public.balances is 'What each device or user may spend. Written only by the metering functions; remaining = allocated - used - reserved.';
comment on column public.balances.subject_id is 'The device or user the balance belongs to.';
comment on column public.balances.subject_kind is 'device or user.';
comment on column public.balances.allocated is 'Tokens granted; always the sum of the subject''s ledger entries.';
comment on column public.balances.used is 'Tokens spent in the current period; always the sum of its usage events'' costs.';
comment on column public.balances.reserved is 'Tokens in open holds; always the sum of the held reservations.';
comment on column public.balances.period is 'The budget period `used` counts for; a monthly reset starts the next.';
comment on column public.balances.updated_at is 'When the balance last changed.';
comment on column public.balances.debt is 'Tokens spent beyond what was left, because a provider billed more than its hold; paid by the next tokens that come in. Usage events cost used + debt.';

create table if not exists public.ledger_entries (
  id uuid primary key default gen_random_uuid(),
  subject_id uuid not null,
  kind text not null check (kind in ('grant', 'transfer', 'reset', 'adjustment', 'subscription', 'correction')),
  amount bigint not null check (amount <> 0),
  period integer not null,
  actor text not null,
  reference text,
  created_at timestamptz not null default now()
);
create index if not exists ledger_entries_subject_idx on public.ledger_entries (subject_id, created_at);
create index if not exists ledger_entries_transfer_idx on public.ledger_entries (reference) where kind = 'transfer';
-- The last guard: one ledger entry for what was paid once.
create unique index if not exists ledger_entries_subscription_idx
  on public.ledger_entries (reference) where kind = 'subscription';
comment on table public.ledger_entries is 'Every change of an allocation, append-only. Their sum per subject is balances.allocated.';
comment on column public.ledger_entries.id is 'The entry''s id.';
comment on column public.ledger_entries.subject_id is 'The device or user whose allocation changed.';
comment on column public.ledger_entries.kind is 'grant, transfer (one of two legs), reset, adjustment, subscription, or correction (of an estimated use).';
comment on column public.ledger_entries.amount is 'Tokens added (positive) or taken back (negative).';
comment on column public.ledger_entries.period is 'The budget period the change fell into.';
comment on column public.ledger_entries.actor is 'Who did it: system:registration, admin:<name>, …';
comment on column public.ledger_entries.reference is 'What it belongs to; the two legs of a transfer share it.';
comment on column public.ledger_entries.created_at is 'When it was written.';

create table if not exists private.retired_usage (
  subject_id uuid not null,
  period integer not null,
  cost bigint not null check (cost >= 0),
  primary key (subject_id, period)
);
comment on table private.retired_usage is 'What events debited that retention has dropped since, so that the books still add up.';
comment on column private.retired_usage.subject_id is 'The device or user.';
comment on column private.retired_usage.period is 'The budget period the events belonged to.';
comment on column private.retired_usage.cost is 'Sum of their costs.';

-- budget/tables.sql

-- The pools that balances are filled from.

create table if not exists public.budgets (
  subject_kind text primary key check (subject_kind in ('device', 'user')),
  total bigint check (total between 0 and 9007199254740991),
  allocated bigint not null default 0 check (allocated >= 0),
  updated_at timestamptz not null default now()
);
comment on table public.budgets is 'The central pools tokens are allocated from: one for devices, one for users. Locked before any balance by whatever changes allocations.';
comment on column public.budgets.subject_kind is 'device or user.';
comment on column public.budgets.total is 'Size of the pool in tokens; null is unlimited.';
comment on column public.budgets.allocated is 'Tokens handed out; always the sum of the balances'' allocations.';
comment on column public.budgets.updated_at is 'When it last changed.';

-- periods/tables.sql

-- Budget periods: the monthly reset is one atomic step from one to the next.

create table if not exists public.periods (
  number integer primary key check (number > 0),
  started_at timestamptz not null default now(),
  closed_at timestamptz,
  closed_by text,
  default_tokens bigint check (default_tokens >= 0)
);
comment on table public.periods is 'Budget periods of the devices, ended by the monthly reset. The newest has no end yet.';
comment on column public.periods.number is 'Counts up from 1.';
comment on column public.periods.started_at is 'When the period began.';
comment on column public.periods.closed_at is 'When a reset ended it.';
comment on column public.periods.closed_by is 'Who ended it: admin:<name> or system:monthly.';
comment on column public.periods.default_tokens is 'What every device was given when the period began; null for the first one.';

create table if not exists public.period_balances (
  period integer not null references public.periods (number),
  subject_id uuid not null,
  allocated bigint not null check (allocated >= 0),
  used bigint not null check (used >= 0),
  primary key (period, subject_id)
);
comment on table public.period_balances is 'What each device had and used in a closed budget period.';
comment on column public.period_balances.period is 'The closed period.';
comment on column public.period_balances.subject_id is 'The device.';
comment on column public.period_balances.allocated is 'Its allocation at the end of the period.';
comment on column public.period_balances.used is 'What it used in the period.';

-- metering/tables.sql

-- Usage events with their rollups, holds and prices.

create table if not exists public.usage_events (
  id uuid not null default gen_random_uuid(),
  subject_id uuid not null,
  user_id uuid,
  device_id uuid,
  source text not null check (source in ('device', 'extension', 'tracker', 'chat', 'api')),
  provider text not null default 'unknown' check (length(provider) between 1 and 50),
  model text not null check (length(model) between 1 and 200),
  prompt_count integer not null default 1 check (prompt_count >= 0),
  input_tokens bigint not null default 0 check (input_tokens >= 0),
  output_tokens bigint not null default 0 check (output_tokens >= 0),
  total_tokens bigint not null default 0 check (total_tokens >= 0),
  cost bigint not null default 0 check (cost >= 0),
  provenance text not null check (provenance in ('client_reported', 'provider_final', 'estimated')),
  period integer not null,
  url text check (length(url) <= 2048),
  occurred_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  primary key (subject_id, occurred_at, id)
) partition by range (occurred_at);
-- Events devices recorded in the name of the person they are linked to. Devices of nobody are not in it.
create index if not exists usage_events_linked_idx on public.usage_events (user_id, occurred_at, id)
  where user_id is not null and user_id is distinct from subject_id;
-- Debits of people. Events that only observe cost nothing, and what the device API records debits the device:
-- neither is in it, so that writing those costs no more.
create index if not exists usage_events_debits_idx on public.usage_events (subject_id, occurred_at, id)
  where cost > 0 and source <> 'device';
-- An admin's list of everybody's newest events, and summaries of everybody over some time.
create index if not exists usage_events_newest_idx on public.usage_events (occurred_at, id);
comment on table public.usage_events is 'One row per use of a model, append-only, partitioned by month.';
comment on column public.usage_events.id is 'The event''s id.';
comment on column public.usage_events.subject_id is 'The device or user whose balance the event counts against.';
comment on column public.usage_events.user_id is 'The account behind it, if known.';
comment on column public.usage_events.device_id is 'The device behind it, if any.';
comment on column public.usage_events.source is 'Which API recorded it: device, extension, tracker, chat or api.';
comment on column public.usage_events.provider is 'The AI provider, unknown where the caller names none.';
comment on column public.usage_events.model is 'The model, trimmed and in lower case.';
comment on column public.usage_events.prompt_count is 'Prompts the event stands for.';
comment on column public.usage_events.input_tokens is 'Language-model tokens sent, 0 where not reported.';
comment on column public.usage_events.output_tokens is 'Language-model tokens received, 0 where not reported.';
comment on column public.usage_events.total_tokens is 'Language-model tokens altogether.';
comment on column public.usage_events.cost is 'What the event debited from the balance.';
comment on column public.usage_events.provenance is 'client_reported, provider_final or estimated.';
comment on column public.usage_events.period is 'The subject''s budget period at the time.';
comment on column public.usage_events.url is 'The page it happened on, without query and fragment.';
comment on column public.usage_events.occurred_at is 'When the use happened.';
comment on column public.usage_events.created_at is 'When the event was recorded.';

create table if not exists public.usage_rollups (
  subject_id uuid not null,
  bucket timestamptz not null,
  provider text not null,
  model text not null,
  source text not null,
  events bigint not null check (events >= 0),
  prompts bigint not null check (prompts >= 0),
  input_tokens bigint not null check (input_tokens >= 0),
  output_tokens bigint not null check (output_tokens >= 0),
  total_tokens bigint not null check (total_tokens >= 0),
  cost bigint not null check (cost >= 0),
  primary key (subject_id, bucket, provider, model, source)
) with (fillfactor = 70);
create index if not exists usage_rollups_bucket_idx on public.usage_rollups using brin (bucket);
comment on table public.usage_rollups is 'Usage events summed per quarter hour, so that a day is exact in every time zone. Written in the same transaction as the events.';
comment on column public.usage_rollups.subject_id is 'The device or user.';
comment on column public.usage_rollups.bucket is 'Start of the quarter hour (UTC).';
comment on column public.usage_rollups.provider is 'The AI provider.';
comment on column public.usage_rollups.model is 'The model.';
comment on column public.usage_rollups.source is 'Which API recorded the events.';
comment on column public.usage_rollups.events is 'Number of events.';
comment on column public.usage_rollups.prompts is 'Sum of their prompts.';
comment on column public.usage_rollups.input_tokens is 'Sum of their input tokens.';
comment on column public.usage_rollups.output_tokens is 'Sum of their output tokens.';
comment on column public.usage_rollups.total_tokens is 'Sum of their tokens.';
comment on column public.usage_rollups.cost is 'Sum of what they debited.';

create table if not exists public.usage_totals (
  bucket timestamptz not null,
  shard smallint not null check (shard between 0 and 7),
  events bigint not null check (events >= 0),
  prompts bigint not null check (prompts >= 0),
  input_tokens bigint not null check (input_tokens >= 0),
  output_tokens bigint not null check (output_tokens >= 0),
  total_tokens bigint not null check (total_tokens >= 0),
  cost bigint not null check (cost >= 0),
  primary key (bucket, shard)
) with (fillfactor = 50);
comment on table public.usage_totals is 'Usage of everybody per quarter hour. Split into shards so that concurrent writers do not wait for each other; add them up.';
comment on column public.usage_totals.bucket is 'Start of the quarter hour (UTC).';
comment on column public.usage_totals.shard is 'Which of eight parts.';
comment on column public.usage_totals.events is 'Number of events.';
comment on column public.usage_totals.prompts is 'Sum of their prompts.';
comment on column public.usage_totals.input_tokens is 'Sum of their input tokens.';
comment on column public.usage_totals.output_tokens is 'Sum of their output tokens.';
comment on column public.usage_totals.total_tokens is 'Sum of their tokens.';
comment on column public.usage_totals.cost is 'Sum of what they debited.';

create table if not exists public.reservations (
  id uuid primary key default gen_random_uuid(),
  subject_id uuid not null,
  amount bigint not null check (amount >= 0),
  status text not null default 'held' check (status in ('held', 'settled', 'expired', 'released', 'lost')),
  model text not null check (length(model) between 1 and 200),
  prompt_count integer not null check (prompt_count >= 0),
  usage_event_id uuid,
  expires_at timestamptz not null,
  created_at timestamptz not null default now(),
  closed_at timestamptz
);
create index if not exists reservations_held_idx on public.reservations (subject_id, expires_at) where status = 'held';
create index if not exists reservations_expiry_idx on public.reservations (expires_at) where status = 'held';
create index if not exists reservations_subject_idx on public.reservations (subject_id, created_at, id);
comment on table public.reservations is 'Holds: tokens set aside before a prompt and settled by the usage that follows, or given back when they expire.';
comment on column public.reservations.id is 'The hold''s id, sent back with the usage that settles it.';
comment on column public.reservations.subject_id is 'The device or user whose tokens are held.';
comment on column public.reservations.amount is 'Tokens held.';
comment on column public.reservations.status is 'held, settled (usage was debited), expired or released (tokens given back), or lost (settled at its estimate, as the server that held it went away).';
comment on column public.reservations.model is 'The model the hold was priced for.';
comment on column public.reservations.prompt_count is 'The prompts the hold was priced for.';
comment on column public.reservations.usage_event_id is 'The usage event that settled it.';
comment on column public.reservations.expires_at is 'From then on the hold guarantees nothing.';
comment on column public.reservations.created_at is 'When it was taken.';
comment on column public.reservations.closed_at is 'When it was settled or expired.';

create table if not exists public.model_costs (
  model text primary key check (model = lower(btrim(model)) and length(model) between 1 and 200),
  cost integer not null check (cost between 0 and 1000000),
  updated_at timestamptz not null default now()
);
comment on table public.model_costs is 'Tokens one prompt debits from a device, per model. Edit rows freely; the next debit uses the new price.';
comment on column public.model_costs.model is 'The model in lower case; * stands for every model without a row of its own.';
comment on column public.model_costs.cost is 'Tokens per prompt.';
comment on column public.model_costs.updated_at is 'When the price last changed.';

create table if not exists private.idempotency_keys (
  subject_id uuid not null,
  key text not null check (length(key) between 1 and 255),
  request_hash bytea not null,
  answer jsonb not null,
  created_at timestamptz not null default now(),
  primary key (subject_id, key)
);
create index if not exists idempotency_keys_created_at_idx on private.idempotency_keys (created_at);
comment on table private.idempotency_keys is 'The answers to writes that carried an idempotency key, so that a retry gets the same one and is charged once.';
comment on column private.idempotency_keys.subject_id is 'Keys are private to a device or user.';
comment on column private.idempotency_keys.key is 'The caller''s key.';
comment on column private.idempotency_keys.request_hash is 'SHA-256 of what was asked: the same key with another request is refused.';
comment on column private.idempotency_keys.answer is 'The original answer.';
comment on column private.idempotency_keys.created_at is 'When it was first used; kept for at least 24 hours.';

-- admin/tables.sql

-- Who may run the budget, and the record of what they did.

create table if not exists private.admins (
  id uuid primary key default gen_random_uuid(),
  username text not null unique check (length(username) between 1 and 100),
  password_hash text not null check (password_hash like '$argon2id$%'),
  version integer not null default 1 check (version > 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table private.admins is 'People who may use the admin API.';
comment on column private.admins.id is 'The admin''s id.';
comment on column private.admins.username is 'Name to log in with.';
comment on column private.admins.password_hash is 'argon2id hash of the password.';
comment on column private.admins.version is 'Tokens carry this number; a new password raises it and ends them all.';
comment on column private.admins.created_at is 'When the admin was created.';
comment on column private.admins.updated_at is 'When the password last changed.';

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
comment on table public.audit_log is 'Who did what, written in the same transaction as the act. Append-only, for everybody.';
comment on column public.audit_log.id is 'Counts up.';
comment on column public.audit_log.actor is 'admin:<name> or system:<what>.';
comment on column public.audit_log.action is 'What was done: allocate, transfer, block_device, …';
comment on column public.audit_log.target is 'What it was done to: a device, user, admin or model.';
comment on column public.audit_log.before is 'State before, where it says something.';
comment on column public.audit_log.after is 'State after.';
comment on column public.audit_log.request_id is 'x-request-id of the request that asked for it.';
comment on column public.audit_log.created_at is 'When it was done.';

-- tracker/tables.sql

-- Prompts and tokens of an account that were used elsewhere, observed and counted, never debited.

create table if not exists public.tracker_counters (
  user_id uuid primary key references public.users (id) on delete cascade,
  prompts bigint not null default 0 check (prompts between 0 and 9007199254740991),
  tokens bigint not null default 0 check (tokens between 0 and 9007199254740991),
  updated_at timestamptz not null default now()
) with (fillfactor = 50);
comment on table public.tracker_counters is 'What clients tracked for each account, summed. Written only by track_usage; always the sum of the account''s rollups with the source tracker.';
comment on column public.tracker_counters.user_id is 'The account.';
comment on column public.tracker_counters.prompts is 'Prompts tracked.';
comment on column public.tracker_counters.tokens is 'Language-model tokens tracked.';
comment on column public.tracker_counters.updated_at is 'When something was tracked last.';

-- events/tables.sql

-- Which functions of an extension people use: counted, never metered.

create table if not exists public.feature_events (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  name text not null check (length(name) between 1 and 100),
  properties jsonb not null default '{}' check (jsonb_typeof(properties) = 'object'),
  occurred_at timestamptz not null,
  created_at timestamptz not null default now(),
  primary key (user_id, occurred_at, id)
);
create index if not exists feature_events_time_idx on public.feature_events using brin (occurred_at);
comment on table public.feature_events is 'One row per use of a feature, as the extension reports it; dropped by retention like usage events.';
comment on column public.feature_events.id is 'The event''s id.';
comment on column public.feature_events.user_id is 'Whose it is; goes with the account.';
comment on column public.feature_events.name is 'Name of the feature, as the extension calls it.';
comment on column public.feature_events.properties is 'What the extension says about it: one flat object.';
comment on column public.feature_events.occurred_at is 'When it was used.';
comment on column public.feature_events.created_at is 'When it was recorded.';

create table if not exists public.feature_rollups (
  user_id uuid not null references public.users (id) on delete cascade,
  bucket timestamptz not null,
  name text not null,
  events bigint not null check (events > 0),
  primary key (user_id, bucket, name)
) with (fillfactor = 70);
comment on table public.feature_rollups is 'Feature events per person and quarter hour, written in the same transaction as the events.';
comment on column public.feature_rollups.user_id is 'Whose they are.';
comment on column public.feature_rollups.bucket is 'Start of the quarter hour (UTC).';
comment on column public.feature_rollups.name is 'Name of the feature.';
comment on column public.feature_rollups.events is 'How often it was used.';

-- chat/tables.sql

-- The requests the server passes on to a language model, each paid for by a hold.

create table if not exists public.generations (
  id uuid primary key references public.reservations (id),
  subject_id uuid not null,
  source text not null check (source in ('chat', 'api')),
  model text not null check (length(model) between 1 and 200),
  provider text check (length(provider) between 1 and 50),
  upstream_id text check (length(upstream_id) between 1 and 200),
  input_estimate bigint not null check (input_estimate > 0),
  provenance text check (provenance in ('provider_final', 'estimated')),
  input_tokens bigint check (input_tokens >= 0),
  output_tokens bigint check (output_tokens >= 0),
  uncollected bigint not null default 0 check (uncollected >= 0),
  reconcile_at timestamptz,
  reconcile_tries smallint not null default 0 check (reconcile_tries >= 0),
  created_at timestamptz not null default now()
);
create index if not exists generations_subject_idx on public.generations (subject_id, created_at, id);
create index if not exists generations_reconcile_idx on public.generations (reconcile_at) where reconcile_at is not null;
comment on table public.generations is 'One row per chat request: what its hold was for, and what it came to. Nothing of a prompt or an answer.';
comment on column public.generations.id is 'The request''s id: that of its hold, and of the usage event that settled it.';
comment on column public.generations.subject_id is 'The account whose balance pays.';
comment on column public.generations.source is 'Which API recorded it: chat, or api for the OpenAI-compatible one.';
comment on column public.generations.model is 'The model asked for, in lower case.';
comment on column public.generations.provider is 'Who ran the model, as far as upstream said.';
comment on column public.generations.upstream_id is 'The upstream''s id of the generation.';
comment on column public.generations.input_estimate is 'Tokens the prompt was estimated at for the hold.';
comment on column public.generations.provenance is 'provider_final, or estimated until upstream''s own count is known; null while it runs, and where nothing was billed.';
comment on column public.generations.input_tokens is 'Tokens of the prompt.';
comment on column public.generations.output_tokens is 'Tokens of the answer.';
comment on column public.generations.uncollected is 'Tokens upstream counted that exceed all the account was ever given: nobody pays them.';
comment on column public.generations.reconcile_at is 'When upstream is asked (again) for its count; null where there is nothing to ask.';
comment on column public.generations.reconcile_tries is 'How often it was asked.';
comment on column public.generations.created_at is 'When the hold was taken.';

-- subscriptions/tables.sql

-- What a tier is worth, who has one, and what was granted for it. Stripe keeps the money and the truth.

create table if not exists public.plans (
  tier text primary key check (tier in ('free', 'pro', 'premium')),
  monthly_tokens bigint not null check (monthly_tokens between 0 and 1000000000000),
  device_limit integer check (device_limit > 0),
  updated_at timestamptz not null default now()
);
comment on table public.plans is 'What each tier is worth. Edit the rows here; what the tiers cost is a price at Stripe.';
comment on column public.plans.tier is 'free, pro or premium.';
comment on column public.plans.monthly_tokens is 'Tokens a paid month adds to the person''s balance.';
comment on column public.plans.device_limit is 'Devices that may be linked to an account; null for any number.';
comment on column public.plans.updated_at is 'When the row was made; set it when you edit.';

create table if not exists public.subscriptions (
  user_id uuid primary key references public.users (id) on delete cascade,
  stripe_customer_id text unique check (length(stripe_customer_id) between 1 and 255),
  stripe_subscription_id text unique check (length(stripe_subscription_id) between 1 and 255),
  tier text references public.plans (tier),
  status text not null default 'none' check (length(status) between 1 and 50),
  current_period_start timestamptz,
  current_period_end timestamptz,
  cancel_at_period_end boolean not null default false,
  grace_ends_at timestamptz,
  started_at timestamptz,
  state_at timestamptz,
  version bigint not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint subscriptions_whole check (
    stripe_subscription_id is null
    or num_nulls(stripe_customer_id, tier, current_period_start, current_period_end, started_at, state_at) = 0
  )
);
create index if not exists subscriptions_tier_idx on public.subscriptions (tier);
comment on table public.subscriptions is 'One row a person who was sent to Stripe, with the state Stripe last told. Nobody without a row pays.';
comment on column public.subscriptions.user_id is 'The person.';
comment on column public.subscriptions.stripe_customer_id is 'Who the person is at Stripe; null where that was deleted.';
comment on column public.subscriptions.stripe_subscription_id is 'The subscription the row is about; null before the first.';
comment on column public.subscriptions.tier is 'The tier that was subscribed to, whether or not it is in force.';
comment on column public.subscriptions.status is 'Stripe''s word: active, trialing, past_due, unpaid, paused, incomplete, canceled, …; none before the first.';
comment on column public.subscriptions.current_period_start is 'Start of the period being billed.';
comment on column public.subscriptions.current_period_end is 'Its end.';
comment on column public.subscriptions.cancel_at_period_end is 'Whether it ends with this period.';
comment on column public.subscriptions.grace_ends_at is 'While a payment is overdue: until when the tier stays in force.';
comment on column public.subscriptions.started_at is 'When the subscription was made at Stripe.';
comment on column public.subscriptions.state_at is 'Stripe''s time of this state: what an older event says is not applied.';
comment on column public.subscriptions.version is 'Counts the changes of the row, so that what was fetched before one is not applied after it.';
comment on column public.subscriptions.created_at is 'When the person was first sent to Stripe.';
comment on column public.subscriptions.updated_at is 'When the row last changed.';

create table if not exists public.subscription_grants (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  stripe_invoice_id text not null unique check (length(stripe_invoice_id) between 1 and 255),
  stripe_subscription_id text not null check (length(stripe_subscription_id) between 1 and 255),
  tier text not null references public.plans (tier),
  renewal boolean not null,
  period_start timestamptz not null,
  period_end timestamptz not null,
  net_tokens bigint not null,
  granted_tokens bigint not null check (granted_tokens >= 0),
  created_at timestamptz not null default now()
);
create unique index if not exists subscription_grants_period_idx
  on public.subscription_grants (stripe_subscription_id, period_start) where renewal;
create index if not exists subscription_grants_user_idx on public.subscription_grants (user_id, created_at, id);
create index if not exists subscription_grants_subscription_idx
  on public.subscription_grants (stripe_subscription_id, period_end);
create index if not exists subscription_grants_tier_idx on public.subscription_grants (tier);
comment on table public.subscription_grants is 'One row a paid invoice, append-only: each is counted once, and each period once.';
comment on column public.subscription_grants.id is 'The row''s id.';
comment on column public.subscription_grants.user_id is 'Who paid.';
comment on column public.subscription_grants.stripe_invoice_id is 'The invoice.';
comment on column public.subscription_grants.stripe_subscription_id is 'The subscription it is for.';
comment on column public.subscription_grants.tier is 'The tier that was paid for.';
comment on column public.subscription_grants.renewal is 'true for a whole period, false for the rest of one after a change of tier.';
comment on column public.subscription_grants.period_start is 'Start of what was paid for.';
comment on column public.subscription_grants.period_end is 'Its end.';
comment on column public.subscription_grants.net_tokens is 'Tokens of what was charged less those of what was credited; may be negative.';
comment on column public.subscription_grants.granted_tokens is 'Tokens it added to the balance: never less than none. What was credited beyond that lowers the next.';
comment on column public.subscription_grants.created_at is 'When it was written.';

create table if not exists private.stripe_events (
  id text primary key check (length(id) between 1 and 255),
  type text not null check (length(type) between 1 and 100),
  created_at timestamptz not null,
  received_at timestamptz not null default now()
);
create index if not exists stripe_events_received_idx on private.stripe_events (received_at);
comment on table private.stripe_events is 'Webhook events whose effect has committed, each in the same transaction as its effect.';
comment on column private.stripe_events.id is 'Stripe''s id of the event.';
comment on column private.stripe_events.type is 'What it was about.';
comment on column private.stripe_events.created_at is 'When it happened at Stripe.';
comment on column private.stripe_events.received_at is 'When it took effect here.';

create table if not exists private.stripe_syncs (
  id boolean primary key default true check (id),
  started_at timestamptz not null
);
comment on table private.stripe_syncs is 'One row: when a server last began to compare.';
comment on column private.stripe_syncs.id is 'Always true.';
comment on column private.stripe_syncs.started_at is 'When it began.';

-- settings/tables.sql

-- One document a person, kept as one entry a name so that devices which change different names merge.

create table if not exists public.settings (
  user_id uuid primary key references public.users (id) on delete cascade,
  version bigint not null default 0 check (version >= 0),
  last_synced_at timestamptz not null default now(),
  pruned_version bigint not null default 0 check (pruned_version >= 0),
  pruned_at bigint not null default 0,
  created_at timestamptz not null default now()
) with (fillfactor = 70);
comment on table public.settings is 'Where a person''s settings stand; what they say is in settings_entries, and whole in settings_versions.';
comment on column public.settings.user_id is 'Whose they are; they go with the account.';
comment on column public.settings.version is 'Counts the changes of the document.';
comment on column public.settings.last_synced_at is 'When the document last changed.';
comment on column public.settings.pruned_version is 'Deletions up to this version may be forgotten: who knows no later one must read everything.';
comment on column public.settings.pruned_at is 'No forgotten deletion is later than this (milliseconds since 1970).';
comment on column public.settings.created_at is 'When the first settings were kept.';

create table if not exists public.settings_entries (
  user_id uuid not null references public.users (id) on delete cascade,
  name text collate "C" not null check (length(name) between 1 and 200),
  value jsonb,
  deleted boolean not null generated always as (value is null) stored,
  updated_at bigint not null,
  claimed_at bigint not null,
  device text collate "C" not null default '' check (length(device) <= 200),
  version bigint not null check (version > 0),
  created_at timestamptz not null default now(),
  primary key (user_id, name)
);
create index if not exists settings_entries_version_idx on public.settings_entries (user_id, version);
comment on table public.settings_entries is 'The newest change of each setting. A deleted one stays for devices that have not heard of it, the newest 1,000 of a person.';
comment on column public.settings_entries.user_id is 'Whose it is.';
comment on column public.settings_entries.name is 'Name of the setting.';
comment on column public.settings_entries.value is 'Its value; null where it was deleted.';
comment on column public.settings_entries.deleted is 'Whether it was deleted.';
comment on column public.settings_entries.updated_at is 'When it was changed, in milliseconds since 1970: as the device says, but never later than it came here.';
comment on column public.settings_entries.claimed_at is 'When the device says it was changed; later than updated_at where its clock is ahead.';
comment on column public.settings_entries.device is 'Which device changed it, as it calls itself; empty where it did not say.';
comment on column public.settings_entries.version is 'The version of the document its value came with.';
comment on column public.settings_entries.created_at is 'When the name was first used.';

create table if not exists public.settings_versions (
  user_id uuid not null references public.users (id) on delete cascade,
  version bigint not null check (version > 0),
  settings jsonb not null check (jsonb_typeof(settings) = 'object'),
  action text not null check (action in ('put', 'push', 'restore')),
  device text not null default '' check (length(device) <= 200),
  created_at timestamptz not null default now(),
  primary key (user_id, version)
);
comment on table public.settings_versions is 'The last 20 versions of a person''s settings, the current one among them.';
comment on column public.settings_versions.user_id is 'Whose they are.';
comment on column public.settings_versions.version is 'The version.';
comment on column public.settings_versions.settings is 'The whole document.';
comment on column public.settings_versions.action is 'What made it: put, push or restore.';
comment on column public.settings_versions.device is 'Which device made it; empty where it did not say.';
comment on column public.settings_versions.created_at is 'When it was made.';

-- A change from the future counts as made when it first came. Were that not remembered, the same change sent again would
-- count as made later, and win against what others changed since.
create table if not exists private.future_changes (
  user_id uuid not null references public.users (id) on delete cascade,
  name text collate "C" not null,
  device text collate "C" not null,
  claimed_at bigint not null,
  updated_at bigint not null,
  id bigint generated always as identity,
  primary key (user_id, name, device, claimed_at)
);
comment on table private.future_changes is 'Changes of settings that claimed to be from the future, and when they came; the newest 2,000 of a person.';
comment on column private.future_changes.user_id is 'Whose setting was changed; goes with the account.';
comment on column private.future_changes.name is 'Name of the setting.';
comment on column private.future_changes.device is 'Which device changed it.';
comment on column private.future_changes.claimed_at is 'When the device says it was changed, in milliseconds since 1970.';
comment on column private.future_changes.updated_at is 'When the change first came, which is what counts.';
comment on column private.future_changes.id is 'Tells which are the newest.';

-- usage/functions/own_subjects.sql

-- The usage queries run with their caller's rights: for a person row-level security decides, and for an admin list_all_usage
-- and summarize_all_usage ask for everybody.
create or replace function public.own_subjects()
returns uuid[]
language sql stable set search_path = ''
as $$
  select array_agg(subject_id)
    from (
      select public.require_current_user() as subject_id
      union all
      select d.id from public.devices d where d.user_id = (select public.current_user_id())
    ) own
$$;
grant execute on function public.own_subjects() to authenticated;
comment on function public.own_subjects() is
  'Returns the caller and their devices: whose rows to look for. Row-level security still decides which of them are seen.';

-- accounts/functions/confirm_user.sql

create or replace function public.confirm_user(p_caller jsonb)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read sessions and keys.
begin
  return private.require_user(p_caller) is not null;
end
$$;
grant execute on function public.confirm_user(jsonb) to service_role;
comment on function public.confirm_user(jsonb) is
  'Returns true where the caller''s session or key is good, for what asks the database nothing else; raises INVALID_TOKEN.';

-- accounts/functions/create_account.sql

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
comment on function private.create_account(text, text, text, bigint, text) is
  'Creates an account and opens its balance; returns nulls where the address is taken.';

-- accounts/functions/current_user_id.sql

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
   where private.is_credential_valid(c.user_id, c.session_id, c.api_key_id)
$$;
grant execute on function public.current_user_id() to authenticated;
comment on function public.current_user_id() is
  'Returns the account the request''s token is about; null where the session (sid) or API key (key_id) it names has ended.';

-- accounts/functions/hold_users.sql

-- A deletion under way ends first; one that starts later waits for this transaction, so nothing is added behind its back.
create or replace function private.hold_users(p_items jsonb)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.users u
    where u.id in (select i.id from jsonb_to_recordset(p_items) as i(id uuid)) order by u.id for key share;
end
$$;
comment on function private.hold_users(jsonb) is
  'Keeps the accounts of these callers, where they are still there, until the transaction ends.';

-- accounts/functions/is_credential_valid.sql

-- In plpgsql because it keeps its plans: this is asked with every request, and planning it anew each time took longer than
-- everything else of taking a hold.
create or replace function private.is_credential_valid(p_user_id uuid, p_session_id uuid, p_api_key_id uuid)
returns boolean
language plpgsql stable set search_path = ''
as $$
begin
  return case
    when p_session_id is not null then exists (
      select from private.sessions s where s.id = p_session_id and s.user_id = p_user_id and s.expires_at > now()
    )
    when p_api_key_id is not null then exists (
      select from private.api_keys k
       where k.id = p_api_key_id and k.user_id = p_user_id and (k.expires_at is null or k.expires_at > now())
    )
    else exists (select from public.users u where u.id = p_user_id)
  end;
end
$$;
comment on function private.is_credential_valid(uuid, uuid, uuid) is
  'Returns whether the session or API key is good for this account at the moment; with neither, whether the account exists.';

-- accounts/functions/lock_user.sql

-- Called first by whatever adds to an account or changes how it is opened: such calls wait for each other, for a deletion
-- and for whoever takes the account over, and only then check that the caller's session is still valid.
create or replace function private.lock_user(p_caller jsonb)
returns uuid
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.users u where u.id = (p_caller ->> 'id')::uuid for no key update;
  return private.require_user(p_caller);
end
$$;
comment on function private.lock_user(jsonb) is
  'Returns what require_user does, with the account locked until the transaction ends.';

-- accounts/functions/prove_email.sql

-- Somebody may have registered with an address that is not theirs and wait for its owner. Whoever proves the address
-- first gets the account without anything the other could still open it with.
create or replace function private.prove_email(p_user_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  -- Whatever is being added to the account waits here, and then has its session checked again.
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
comment on function private.prove_email(uuid) is
  'Marks the address as proved; the first time removes every credential and device link made before.';

-- accounts/functions/register_user.sql

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
grant execute on function public.register_user(text, text, bigint, jsonb, text) to service_role;
comment on function public.register_user(text, text, bigint, jsonb, text) is
  'Creates an account with a password and its default tokens, and logs it in. Returns {session_id, user}; raises EMAIL_TAKEN.';

-- accounts/functions/require_current_user.sql

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
grant execute on function public.require_current_user() to authenticated;
comment on function public.require_current_user() is 'Returns current_user_id, or raises INVALID_TOKEN where it is nobody.';

-- accounts/functions/require_user.sql

-- Called first by every function that acts for a person: the credential is checked in the transaction that uses it.
create or replace function private.require_user(p_caller jsonb)
returns uuid
language plpgsql stable set search_path = ''
as $$
declare
  v_user_id uuid := (p_caller ->> 'id')::uuid;
begin
  if not private.is_credential_valid(v_user_id, (p_caller ->> 'session_id')::uuid, (p_caller ->> 'api_key_id')::uuid) then
    raise sqlstate 'PT401' using message = 'INVALID_TOKEN';
  end if;
  return v_user_id;
end
$$;
comment on function private.require_user(jsonb) is
  'Returns the account of the caller {id, session_id | api_key_id}; raises INVALID_TOKEN where the session or key has ended.';

-- admin/functions/admin_credentials.sql

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
grant execute on function public.admin_credentials(jsonb) to service_role;
comment on function public.admin_credentials(jsonb) is 'Returns the calling admin''s own {username, password_hash}, to check the old password with.';

-- admin/functions/audit.sql

create or replace function private.audit(
  p_actor text, p_request_id text, p_action text, p_target text, p_before jsonb, p_after jsonb
)
returns void
language sql volatile set search_path = ''
as $$
  insert into public.audit_log (actor, action, target, before, after, request_id)
  values (p_actor, p_action, p_target, p_before, p_after, p_request_id)
$$;
comment on function private.audit(text, text, text, text, jsonb, jsonb) is 'Writes one line of the audit log.';

-- admin/functions/begin_admin_login.sql

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
grant execute on function public.begin_admin_login(text, text) to service_role;
comment on function public.begin_admin_login(text, text) is
  'Counts a log-in attempt before any hashing. Returns {allowed, retry_after} or {allowed, id, version, password_hash}, nulls for an unknown name.';

-- admin/functions/change_admin_password.sql

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
grant execute on function public.change_admin_password(jsonb, text) to service_role;
comment on function public.change_admin_password(jsonb, text) is
  'Sets the calling admin''s password and ends all their tokens; returns the new token version.';

-- admin/functions/create_first_admin.sql

create or replace function public.create_first_admin(p_username text, p_password_hash text)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.admins.
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
grant execute on function public.create_first_admin(text, text) to service_role;
comment on function public.create_first_admin(text, text) is
  'Creates the first admin; returns false and changes nothing where one exists already.';

-- admin/functions/create_user.sql

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
grant execute on function public.create_user(jsonb, text, bigint, text, text) to service_role;
comment on function public.create_user(jsonb, text, bigint, text, text) is
  'Creates an account with its default tokens; the password hash may be null. Returns the account; raises EMAIL_TAKEN.';

-- admin/functions/dashboard.sql

-- Reads balances, rollups and totals, never events.
create or replace function public.dashboard(
  p_actor jsonb, p_limit integer, p_sort text, p_query text default null, p_after_value text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every device, which no API role may.
begin
  perform private.require_admin(p_actor);
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

-- admin/functions/device_models_this_month.sql

create or replace function private.device_models_this_month(p_device_id uuid)
returns jsonb
language sql stable set search_path = ''
as $$
  select coalesce(jsonb_agg(to_jsonb(m) order by m.cost desc, m.model), '[]')
    from (
      select r.model, sum(r.events)::bigint as events, sum(r.prompts)::bigint as prompts, sum(r.cost)::bigint as cost
        from public.usage_rollups r
       where r.subject_id = p_device_id and r.bucket >= date_trunc('month', now(), 'UTC')
       group by r.model
    ) m
$$;
comment on function private.device_models_this_month(uuid) is 'Returns a device''s usage in the current month (UTC) by model.';

-- admin/functions/device_page.sql

-- One page of devices, sorted by one of a closed list of columns.
create or replace function private.device_page(
  p_query text, p_limit integer, p_sort text, p_after_value text, p_after_id uuid
)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_column text := case ltrim(p_sort, '-')
    when 'created' then 'd.created_at'
    when 'name' then 'd.name'
    when 'allocated' then 'b.allocated'
    when 'used' then 'b.used'
    when 'remaining' then '(b.allocated - b.used - b.reserved)'
    when 'last_seen' then 'd.last_registered_at'
  end;
  v_type text := case ltrim(p_sort, '-')
    when 'name' then 'text' when 'created' then 'timestamptz' when 'last_seen' then 'timestamptz' else 'bigint'
  end;
  v_direction text := case when p_sort like '-%' then 'desc' else 'asc' end;
  v_page jsonb;
begin
  execute format(
    $query$
      select coalesce(jsonb_agg(
               jsonb_build_object(
                 'id', p.id, 'name', p.name, 'user_email', p.user_email, 'allocated', p.allocated, 'used', p.used,
                 'reserved', p.reserved, 'remaining', p.allocated - p.used - p.reserved, 'blocked', p.blocked,
                 'registrations', p.registrations, 'created_at', p.created_at,
                 'last_seen', greatest(p.last_registered_at, (
                   select max(r.bucket) from public.usage_rollups r where r.subject_id = p.id
                 )),
                 'usage_this_month', private.device_models_this_month(p.id),
                 'sort_value', p.sort_value::text
               ) order by p.sort_value %2$s, p.id %2$s
             ), '[]')
        from (
          select d.id, d.name, u.email as user_email, b.allocated, b.used, b.reserved, d.blocked, d.registrations,
                 d.created_at, d.last_registered_at, %1$s as sort_value
            from public.devices d
            join public.balances b on b.subject_id = d.id
            left join public.users u on u.id = d.user_id
           where d.deleted_at is null
             and ($1 is null or lower(d.name) like $1 or u.email like $1 or d.id::text like $1)
             and ($2 is null or (%1$s, d.id) %3$s ($2::%4$s, $3))
           order by %1$s %2$s, d.id %2$s
           limit $4
        ) p
    $query$,
    v_column, v_direction, case v_direction when 'desc' then '<' else '>' end, v_type
  )
  into v_page
  using '%' || replace(replace(replace(lower(p_query), '\', '\\'), '%', '\%'), '_', '\_') || '%',
        p_after_value, p_after_id, p_limit;
  return v_page;
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
comment on function private.device_page(text, integer, text, text, uuid) is
  'Returns devices with balances and this month''s usage, one page; sort_value and id of the last row page on.';

-- admin/functions/finish_admin_login.sql

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
grant execute on function public.finish_admin_login(text, text) to service_role;
comment on function public.finish_admin_login(text, text) is
  'After the right password: remembers the address and forgets its failed attempts.';

-- admin/functions/has_admin.sql

-- Definer: no API role may read private.admins.
create or replace function public.has_admin()
returns boolean
language sql stable security definer set search_path = ''
as $$ select exists (select from private.admins) $$;
grant execute on function public.has_admin() to service_role;
comment on function public.has_admin() is 'Returns whether anybody can log in as admin yet.';

-- admin/functions/list_audit.sql

create or replace function public.list_audit(p_actor jsonb, p_limit integer, p_before bigint default null, p_target text default null)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read audit_log.
begin
  perform private.require_admin(p_actor);
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

-- admin/functions/list_users.sql

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
  perform private.require_admin(p_actor);
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

-- admin/functions/manage_admin.sql

-- The operator's command works on admins by name.
create or replace function public.manage_admin(p_command text, p_username text, p_password_hash text default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read private.admins.
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
grant execute on function public.manage_admin(text, text, text) to service_role;
comment on function public.manage_admin(text, text, text) is
  'Runs the operator''s command: create, passwd, remove (never the last one) or list. Returns {changed, admins}.';

-- admin/functions/require_admin.sql

-- Called first by every admin function: the right is checked in the transaction that uses it.
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
comment on function private.require_admin(jsonb) is
  'Returns the name to record for the admin {id, version, request_id}; raises INVALID_TOKEN for one who was removed or changed the password.';

-- admin/functions/usage_between.sql

create or replace function private.usage_between(p_from timestamptz, p_to timestamptz)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'events', coalesce(sum(events), 0), 'prompts', coalesce(sum(prompts), 0),
    'total_tokens', coalesce(sum(total_tokens), 0), 'cost', coalesce(sum(cost), 0)
  ) from public.usage_totals where bucket >= p_from and bucket < p_to
$$;
comment on function private.usage_between(timestamptz, timestamptz) is 'Returns usage of everybody between two quarter hours.';

-- admin/functions/usage_by_day.sql

create or replace function private.usage_by_day(p_days integer)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_agg(
           private.usage_between(day, day + interval '1 day') || jsonb_build_object('day', to_char(day at time zone 'UTC', 'YYYY-MM-DD'))
           order by day
         )
    from generate_series(
      date_trunc('day', now(), 'UTC') - make_interval(days => p_days - 1), date_trunc('day', now(), 'UTC'), interval '1 day'
    ) as day
$$;
comment on function private.usage_by_day(integer) is 'Returns usage of everybody per day (UTC), today last, days without any included.';

-- admin/functions/user_json.sql

create or replace function private.user_json(p_user public.users)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'id', p_user.id, 'email', p_user.email, 'name', p_user.name, 'picture', p_user.picture,
    'total_tokens', coalesce(b.allocated, 0), 'tokens_used', coalesce(b.used, 0),
    'tokens_left', coalesce(b.allocated - b.used - b.reserved, 0),
    'created_at', p_user.created_at, 'updated_at', p_user.updated_at
  ) from (select 1) one left join public.balances b on b.subject_id = p_user.id
$$;
comment on function private.user_json(public.users) is 'Returns an account with its balance as contract 4 shows it.';

-- api_keys/functions/api_key_json.sql

create or replace function private.api_key_json(p_key private.api_keys)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
    'id', p_key.id, 'name', p_key.name, 'prefix', p_key.prefix, 'created_at', p_key.created_at,
    'last_used_at', p_key.last_used_at, 'expires_at', p_key.expires_at
  )
$$;
comment on function private.api_key_json(private.api_keys) is 'Returns a key as its owner sees it, without its hash.';

-- api_keys/functions/authenticate_api_key.sql

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
  return jsonb_build_object('id', v_key.user_id, 'api_key_id', v_key.id);
end
$$;
grant execute on function public.authenticate_api_key(text) to service_role;
comment on function public.authenticate_api_key(text) is
  'Returns whose key this is (SHA-256 in hex): {id, api_key_id}, and notes its use. Raises INVALID_TOKEN for one that is unknown or has ended.';

-- api_keys/functions/create_api_key.sql

create or replace function public.create_api_key(
  p_caller jsonb, p_name text, p_prefix text, p_key_hash text, p_expires_at text default null
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
  insert into private.api_keys (user_id, name, prefix, key_hash, expires_at)
  values (v_user_id, p_name, p_prefix, decode(p_key_hash, 'hex'), p_expires_at::timestamptz)
  returning * into v_key;
  return private.api_key_json(v_key);
exception
  -- Well formed, but there is no such time.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.create_api_key(jsonb, text, text, text, text) to service_role;
comment on function public.create_api_key(jsonb, text, text, text, text) is
  'Keeps a new key''s SHA-256 (hex) and returns the key without it; raises API_KEY_LIMIT beyond 50, VALIDATION_FAILED for an end in the past.';

-- api_keys/functions/delete_api_key.sql

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
  return jsonb_build_object('id', p_id, 'deleted', true);
end
$$;
grant execute on function public.delete_api_key(jsonb, uuid) to service_role;
comment on function public.delete_api_key(jsonb, uuid) is 'Ends one of the account''s keys. Returns {id, deleted}; raises API_KEY_NOT_FOUND.';

-- api_keys/functions/list_api_keys.sql

create or replace function public.list_api_keys(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: no API role may read private.api_keys.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return (
    select coalesce(jsonb_agg(private.api_key_json(k) order by k.created_at desc, k.id desc), '[]')
      from private.api_keys k where k.user_id = v_user_id
  );
end
$$;
grant execute on function public.list_api_keys(jsonb) to service_role;
comment on function public.list_api_keys(jsonb) is 'Returns the account''s keys, newest first; at most 50, so that one answer holds them all.';

-- budget/functions/allocate.sql

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
  perform private.audit(
    v_actor, p_actor ->> 'request_id', case when p_from_id is null then 'allocate' else 'transfer' end,
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

-- budget/functions/budget_json.sql

create or replace function private.budget_json(p_kind text)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'subject_kind', p.subject_kind, 'total', p.total, 'allocated', p.allocated,
    'used', coalesce(b.used, 0), 'reserved', coalesce(b.reserved, 0),
    'remaining', p.allocated - coalesce(b.used, 0) - coalesce(b.reserved, 0),
    'unallocated', case when p.total is not null then greatest(p.total - p.allocated, 0) end
  )
    from public.budgets p
    left join (
      select subject_kind, sum(used)::bigint as used, sum(reserved)::bigint as reserved
        from public.balances where subject_kind = p_kind group by subject_kind
    ) b using (subject_kind)
   where p.subject_kind = p_kind
$$;
comment on function private.budget_json(text) is 'Returns a pool with what is allocated from it, spent, held and left.';

-- budget/functions/change_allocation.sql

-- Changes one allocation and its ledger; refuses to go below what is used and held. The caller holds the locks.
create or replace function private.change_allocation(
  p_subject_id uuid, p_tokens bigint, p_kind text, p_actor text, p_reference text
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
begin
  select * into strict v_balance from public.balances where subject_id = p_subject_id;
  if v_balance.allocated + p_tokens < v_balance.used + v_balance.reserved then
    raise sqlstate 'PT403' using message = 'INSUFFICIENT_TOKENS', detail = jsonb_build_object(
      'requested', -p_tokens, 'remaining', v_balance.allocated - v_balance.used - v_balance.reserved
    )::text;
  end if;
  if v_balance.allocated + p_tokens > 9007199254740991 then
    raise sqlstate 'PT400' using message = 'ALLOCATION_TOO_LARGE';
  end if;
  update public.balances set allocated = allocated + p_tokens, updated_at = now() where subject_id = p_subject_id;
  insert into public.ledger_entries (subject_id, kind, amount, period, actor, reference)
  values (p_subject_id, p_kind, p_tokens, v_balance.period, p_actor, p_reference);
end
$$;
comment on function private.change_allocation(uuid, bigint, text, text, text) is
  'Adds to (or takes from) an allocation and writes the ledger entry; raises INSUFFICIENT_TOKENS.';

-- budget/functions/get_budget.sql

create or replace function public.get_budget(p_actor jsonb, p_kind text)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every balance, which no API role may.
begin
  perform private.require_admin(p_actor);
  return private.budget_json(p_kind);
end
$$;
grant execute on function public.get_budget(jsonb, text) to service_role;
comment on function public.get_budget(jsonb, text) is 'Returns the pool of devices or users with its totals.';

-- budget/functions/require_subject.sql

create or replace function private.require_subject(p_kind text, p_subject_id uuid)
returns void
language plpgsql stable set search_path = ''
as $$
begin
  if p_kind = 'device' and not exists (
    select from public.devices d where d.id = p_subject_id and d.deleted_at is null
  ) then
    raise sqlstate 'PT404' using message = 'DEVICE_NOT_FOUND';
  elsif p_kind = 'user' and not exists (select from public.users u where u.id = p_subject_id) then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
end
$$;
comment on function private.require_subject(text, uuid) is 'Raises DEVICE_NOT_FOUND or USER_NOT_FOUND where there is no such one.';

-- budget/functions/set_budget.sql

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
  perform private.audit(
    v_actor, p_actor ->> 'request_id', 'set_budget', p_kind,
    jsonb_build_object('total', v_before), jsonb_build_object('total', p_total)
  );
  return private.budget_json(p_kind);
end
$$;
grant execute on function public.set_budget(jsonb, text, bigint) to service_role;
comment on function public.set_budget(jsonb, text, bigint) is
  'Sets the size of a pool, null for unlimited. One smaller than what is allocated only stops further allocations.';

-- chat/functions/claim_estimated_generations.sql

create or replace function public.claim_estimated_generations(p_limit integer)
returns table (id uuid, upstream_id text)
language sql volatile security definer set search_path = ''
as $$
-- Definer: generations are written by no API role. Several servers may ask at once: each gets others.
  with due as (
    select g.id from public.generations g
     where g.reconcile_at <= now()
     order by g.reconcile_at
     limit p_limit
     for update skip locked
  )
  update public.generations g
     set reconcile_tries = g.reconcile_tries + 1,
         -- Upstream knows a count some seconds after a stream has ended; after two days it will not any more.
         reconcile_at = case
           when g.reconcile_tries < 14 then now() + least(interval '30 seconds' * 2 ^ g.reconcile_tries, interval '6 hours')
         end
    from due
   where g.id = due.id
  returning g.id, g.upstream_id
$$;
grant execute on function public.claim_estimated_generations(integer) to service_role;
comment on function public.claim_estimated_generations(integer) is
  'Returns estimated generations whose count upstream may know by now; each is given out again later, up to 15 times, until it is corrected.';

-- chat/functions/close_generation.sql

-- Ends a running generation: its hold goes, its cost is debited, and where that is more than hold and balance together
-- the rest becomes debt. The caller has locked the balance, and records the event that is answered.
create or replace function private.close_generation(
  p_generation public.generations, p_status text, p_provenance text, p_input bigint, p_output bigint
)
returns public.usage_events
language plpgsql volatile set search_path = ''
as $$
declare
  v_cost bigint := p_input + p_output;
  v_held bigint;
  v_period integer;
begin
  update public.reservations r
     set status = p_status, closed_at = now(), usage_event_id = case when v_cost > 0 then r.id end
   where r.id = p_generation.id and r.status = 'held'
  returning r.amount into strict v_held;
  update public.balances b
     set reserved = b.reserved - v_held,
         used = b.used + least(v_cost, b.allocated - b.used - b.reserved + v_held),
         debt = b.debt + v_cost - least(v_cost, b.allocated - b.used - b.reserved + v_held),
         updated_at = now()
   where b.subject_id = p_generation.subject_id
  returning b.period into strict v_period;
  update public.generations g
     set provenance = p_provenance, input_tokens = p_input, output_tokens = p_output,
         provider = p_generation.provider, upstream_id = p_generation.upstream_id,
         reconcile_at = case when p_provenance = 'estimated' and p_generation.upstream_id is not null then now() end
   where g.id = p_generation.id;
  return row(
    p_generation.id, p_generation.subject_id, p_generation.subject_id, null, p_generation.source,
    coalesce(p_generation.provider, 'unknown'), p_generation.model, 1, p_input, p_output, v_cost, v_cost,
    p_provenance, v_period, null, now(), now()
  )::public.usage_events;
end
$$;
comment on function private.close_generation(public.generations, text, text, bigint, bigint) is
  'Settles a running generation and returns the usage event to record; the balance must be locked by the caller.';

-- chat/functions/correct_generation.sql

create or replace function public.correct_generation(p_id uuid, p_input_tokens bigint, p_output_tokens bigint)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes balances, pools and the ledger, which no API role may.
declare
  v_generation public.generations;
  v_balance public.balances;
  v_difference bigint;
  v_amount bigint;
begin
  -- The pool before the balance, as everywhere.
  perform from public.budgets where subject_kind = 'user' for update;
  select b.* into v_balance
    from public.balances b join public.generations g on g.subject_id = b.subject_id
   where g.id = p_id for update of b;
  select g.* into v_generation from public.generations g where g.id = p_id;
  if v_generation.provenance is distinct from 'estimated' then
    return '{"corrected": false, "amount": 0}';
  end if;
  v_difference := v_generation.input_tokens + v_generation.output_tokens - p_input_tokens - p_output_tokens;
  -- More than an account was ever given, and does not hold for others, cannot be taken from it.
  v_amount := greatest(v_difference, v_balance.reserved - v_balance.allocated);
  if v_amount <> 0 then
    -- What can no longer be taken back becomes debt.
    update public.balances b
       set allocated = b.allocated + v_amount,
           used = b.used - greatest(b.used + b.reserved - b.allocated - v_amount, 0),
           debt = b.debt + greatest(b.used + b.reserved - b.allocated - v_amount, 0),
           updated_at = now()
     where b.subject_id = v_generation.subject_id;
    insert into public.ledger_entries (subject_id, kind, amount, period, actor, reference)
    values (
      v_generation.subject_id, 'correction', v_amount, v_balance.period, 'system:reconciliation', 'generation:' || p_id
    );
    update public.budgets set allocated = allocated + v_amount, updated_at = now() where subject_kind = 'user';
  end if;
  update public.generations g
     set provenance = 'provider_final', input_tokens = p_input_tokens, output_tokens = p_output_tokens,
         uncollected = v_amount - v_difference, reconcile_at = null
   where g.id = p_id;
  return jsonb_build_object('corrected', true, 'amount', v_amount);
end
$$;
grant execute on function public.correct_generation(uuid, bigint, bigint) to service_role;
comment on function public.correct_generation(uuid, bigint, bigint) is
  'Corrects an estimated generation to what upstream counted, once, by a ledger entry. Returns {corrected, amount}: tokens given back, or taken where negative.';

-- chat/functions/export_generations.sql

create or replace function public.export_generations(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at, page.id), '[]')
      from (
        select g.id, g.source, g.model, g.provider, g.upstream_id, g.input_estimate, g.provenance,
               g.input_tokens, g.output_tokens, g.uncollected, g.created_at
          from public.generations g
         where g.subject_id = v_user_id and (g.created_at, g.id) > (p_after_at, p_after_id)
         order by g.created_at, g.id
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_generations(integer, timestamptz, uuid) to authenticated;
comment on function public.export_generations(integer, timestamptz, uuid) is
  'Returns the caller''s chat requests, oldest first; after (time, id) to page on.';

-- chat/functions/meter_chat.sql

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
      v_output := least(
        v_item.output_tokens, v_balance.allocated - v_balance.used - v_balance.reserved - v_item.input_estimate
      );
      v_answer := case
        when v_item.google_subject is not null and v_item.user_id is null then '{"code": "USER_NOT_FOUND"}'
        when v_balance.subject_id is null
          or not private.is_credential_valid(v_item.user_id, v_item.session_id, v_item.api_key_id) then '{"code": "INVALID_TOKEN"}'
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
        v_output := least(v_item.output_tokens, v_balance.allocated - v_balance.used - v_balance.reserved);
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

-- chat/functions/settle_lost_generations.sql

create or replace function private.settle_lost_generations(
  p_subjects uuid[], p_expired_by timestamptz, p_except uuid[] default '{}'
)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_lost record;
  v_generation public.generations;
  v_events public.usage_events[] := '{}';
begin
  for v_lost in
    select r.id, r.amount from public.reservations r
     where r.subject_id = any (p_subjects) and r.status = 'held' and r.expires_at <= p_expired_by
       and r.id <> all (p_except)
     order by r.id
  loop
    select g.* into v_generation from public.generations g where g.id = v_lost.id;
    continue when not found;
    v_events := v_events || private.close_generation(
      v_generation, 'lost', 'estimated', v_generation.input_estimate, v_lost.amount - v_generation.input_estimate
    );
  end loop;
  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  return cardinality(v_events);
end
$$;
comment on function private.settle_lost_generations(uuid[], timestamptz, uuid[]) is
  'Settles generations whose server went away at the whole of their holds, except those given; returns how many. The balances must be locked by the caller.';

-- devices/functions/delete_device.sql

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
  perform private.audit(
    v_actor, p_actor ->> 'request_id', 'delete_device', 'device:' || p_device_id, v_before,
    jsonb_build_object('returned', v_unused)
  );
  return jsonb_build_object('device_id', p_device_id, 'returned', v_unused);
end
$$;
grant execute on function public.delete_device(jsonb, uuid) to service_role;
comment on function public.delete_device(jsonb, uuid) is
  'Removes a device: its tokens die, its unused tokens return to the pool, its usage stays. Returns {device_id, returned}.';

-- devices/functions/device_json.sql

create or replace function private.device_json(p_device_id uuid)
returns jsonb
language sql stable set search_path = ''
as $$
  select private.balance_json(d.id) || jsonb_build_object(
    'name', d.name, 'blocked', d.blocked, 'registrations', d.registrations, 'token_version', d.token_version
  ) from public.devices d where d.id = p_device_id
$$;
comment on function private.device_json(uuid) is 'Returns a device with its balance as the admin API shows it.';

-- devices/functions/keep_first_user.sql

create or replace function private.keep_first_user()
returns trigger
language plpgsql set search_path = ''
as $$
begin
  new.first_user_id := coalesce(new.first_user_id, new.user_id);
  return new;
end
$$;
comment on function private.keep_first_user() is 'Trigger: notes the first account a device is linked to, however that is done.';

-- devices/functions/lock_device.sql

-- Debits lock the balance first, too: none commits after an admin has blocked, rotated or removed its device.
create or replace function private.lock_device(p_device_id uuid)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.balances b where b.subject_id = p_device_id for update;
  perform private.require_subject('device', p_device_id);
  return private.device_json(p_device_id);
end
$$;
comment on function private.lock_device(uuid) is 'Waits for running debits of the device and holds back further ones; returns its state. Raises DEVICE_NOT_FOUND.';

-- devices/functions/register_device.sql

create or replace function public.register_device(
  p_device_name text, p_fingerprint text, p_default_tokens bigint, p_caller jsonb default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, balances and the ledger, which no API role may write.
declare
  v_fingerprint_hash bytea := sha256(convert_to(p_fingerprint, 'UTF8'));
  v_user_id uuid;
  v_was_linked boolean;
  v_device public.devices;
  v_balance public.balances;
begin
  if p_caller is not null then
    v_user_id := private.lock_user(p_caller);
    v_was_linked := exists (
      select from public.devices d where d.fingerprint_hash = v_fingerprint_hash and d.user_id = v_user_id
    );
  end if;

  -- Fingerprints can be guessed: knowing one takes no device from the person it is linked to.
  insert into public.devices (name, fingerprint_hash, user_id)
  values (p_device_name, v_fingerprint_hash, v_user_id)
  on conflict (fingerprint_hash) do update
    set registrations = public.devices.registrations + 1, last_registered_at = now(),
        user_id = coalesce(
          public.devices.user_id,
          case when coalesce(public.devices.first_user_id, v_user_id) = v_user_id then v_user_id end
        )
  returning * into v_device;

  if v_device.blocked then
    raise sqlstate 'PT403' using message = 'DEVICE_BLOCKED';
  end if;
  -- Devices that were linked before stay, also where a tier has ended.
  if v_device.user_id = v_user_id and not v_was_linked then
    perform private.assert_device_room(v_user_id);
  end if;

  if v_device.registrations = 1 then
    v_balance := private.open_balance(v_device.id, 'device', p_default_tokens, 'system:registration');
  else
    select * into strict v_balance from public.balances where subject_id = v_device.id;
  end if;

  return jsonb_build_object(
    'device_id', v_device.id,
    'token_version', v_device.token_version,
    'created', v_device.registrations = 1,
    'allocated', v_balance.allocated,
    'remaining', v_balance.allocated - v_balance.used - v_balance.reserved
  ) || case
    when v_user_id is null then '{}'::jsonb
    else jsonb_build_object('linked', v_device.user_id is not distinct from v_user_id)
  end;
end
$$;
grant execute on function public.register_device(text, text, bigint, jsonb) to service_role;
comment on function public.register_device(text, text, bigint, jsonb) is
  'Registers a device or finds it again by its fingerprint, and links it to the caller where it never was another person''s. Returns {device_id, token_version, created, allocated, remaining}, with a caller also linked; raises DEVICE_BLOCKED, and DEVICE_LIMIT where the caller''s tier has no room for another.';

-- devices/functions/update_device.sql

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
  perform private.audit(
    v_actor, p_actor ->> 'request_id',
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

-- events/functions/export_feature_events.sql

create or replace function public.export_feature_events(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) - 'user_id' order by page.occurred_at, page.id), '[]')
      from (
        select e.* from public.feature_events e
         where e.user_id = v_user_id and (e.occurred_at, e.id) > (p_after_at, p_after_id)
         order by e.occurred_at, e.id
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_feature_events(integer, timestamptz, uuid) to authenticated;
comment on function public.export_feature_events(integer, timestamptz, uuid) is
  'Returns the caller''s uses of features, oldest first; after (time, id) to page on.';

-- events/functions/prune_features.sql

create or replace function private.prune_features(p_retention_months integer)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_pruned integer;
begin
  delete from public.feature_events e
   where e.occurred_at < (date_trunc('month', now() at time zone 'UTC') - make_interval(months => p_retention_months))
           at time zone 'UTC';
  get diagnostics v_pruned = row_count;
  return v_pruned;
end
$$;
comment on function private.prune_features(integer) is
  'Deletes feature events older than what is kept; returns how many. Rollups stay.';

-- events/functions/record_features.sql

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
           private.is_credential_valid(r.id, r.session_id, r.api_key_id) as live
      from rows from (
        jsonb_to_recordset(p_items) as (
          id uuid, session_id uuid, api_key_id uuid, name text, properties jsonb, timestamp_ms bigint
        )
      ) with ordinality as r(id, session_id, api_key_id, name, properties, timestamp_ms, ord)
  ),
  judged as materialized (
    select i.*, case
        when not i.live then 'INVALID_TOKEN'
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

-- events/functions/summarize_features.sql

create or replace function public.summarize_features(
  p_from text, p_to text, p_time_zone text, p_by_day boolean, p_name text default null
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
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

-- foundation/functions/applied_migrations.sql

-- Definer: the server may ask which migrations ran, but no API role may read the tables that record them.
create or replace function public.applied_migrations()
returns table (version text, sha256 text)
language sql stable security definer set search_path = ''
as $$
  select m.version, coalesce(c.sha256, '')
    from supabase_migrations.schema_migrations m
    left join private.migration_checksums c on c.version = m.version
   order by m.version
$$;
grant execute on function public.applied_migrations() to service_role;
comment on function public.applied_migrations() is
  'Returns the migrations recorded as applied, with the SHA-256 of the text each ran with; empty where it was recorded without having run. The server compares them with its own at start and on /readyz.';

-- foundation/functions/record_migration.sql

create or replace function private.record_migration(p_version text, p_sha256 text)
returns void
language sql volatile set search_path = ''
as $$
  insert into private.migration_checksums as m (version, sha256) values (p_version, p_sha256)
  on conflict (version) do update set sha256 = excluded.sha256, applied_at = now() where m.sha256 <> excluded.sha256
$$;
comment on function private.record_migration(text, text) is
  'Notes the SHA-256 of the text a migration ran with. The last statement of every migration.';

-- foundation/functions/refuse_change.sql

create or replace function private.refuse_change()
returns trigger
language plpgsql set search_path = ''
as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = '42501';
end
$$;
comment on function private.refuse_change() is 'Trigger: keeps a table append-only, for its owner too.';

-- ledger/functions/balance_json.sql

create or replace function private.balance_json(p_subject_id uuid)
returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    b.subject_kind || '_id', b.subject_id, 'allocated', b.allocated, 'used', b.used, 'reserved', b.reserved,
    'remaining', b.allocated - b.used - b.reserved
  ) from public.balances b where b.subject_id = p_subject_id
$$;
comment on function private.balance_json(uuid) is 'Returns a balance as the admin API shows it.';

-- ledger/functions/close_balance.sql

create or replace function private.close_balance(p_user_id uuid, p_actor text)
returns bigint
language plpgsql volatile set search_path = ''
as $$
declare
  v_unused bigint;
begin
  perform from public.budgets where subject_kind = 'user' for update;
  perform from public.balances b where b.subject_id = p_user_id for update;
  -- What is still running is paid for at its hold: nobody is there any more to wait for its end.
  perform private.settle_lost_generations(array[p_user_id], 'infinity');
  update public.generations g set reconcile_at = null where g.subject_id = p_user_id and g.reconcile_at is not null;
  with released as (
    update public.reservations set status = 'expired', closed_at = now()
     where subject_id = p_user_id and status = 'held' returning amount
  )
  update public.balances
     set reserved = reserved - (select coalesce(sum(amount), 0) from released), updated_at = now()
   where subject_id = p_user_id
  returning allocated - used - reserved into v_unused;
  if v_unused > 0 then
    perform private.change_allocation(p_user_id, -v_unused, 'adjustment', p_actor, 'account deleted');
    update public.budgets set allocated = allocated - v_unused, updated_at = now() where subject_kind = 'user';
  end if;
  return coalesce(v_unused, 0);
end
$$;
comment on function private.close_balance(uuid, text) is
  'Ends the holds of an account and returns its unused tokens to the pool; returns how many. The balance stays for the books.';

-- ledger/functions/export_ledger_entries.sql

create or replace function public.export_ledger_entries(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at, page.id), '[]')
      from (
        select e.id, e.kind, e.amount, e.period, case when e.actor like 'admin:%' then 'admin' else 'system' end as actor,
               e.reference, e.created_at
          from public.ledger_entries e
         where e.subject_id = v_user_id and (e.created_at, e.id) > (p_after_at, p_after_id)
         order by e.created_at, e.id
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_ledger_entries(integer, timestamptz, uuid) to authenticated;
comment on function public.export_ledger_entries(integer, timestamptz, uuid) is
  'Returns the changes of the caller''s allocation, oldest first; after (time, id) to page on.';

-- ledger/functions/my_balance.sql

create or replace function public.my_balance()
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_user_id uuid := public.require_current_user();
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

-- ledger/functions/my_ledger.sql

create or replace function public.my_ledger(
  p_limit integer, p_after_at text default null, p_after_kind text default null, p_after_id uuid default null
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
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

-- ledger/functions/open_balance.sql

create or replace function private.open_balance(p_subject_id uuid, p_kind text, p_tokens bigint, p_actor text)
returns public.balances
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
  v_granted bigint;
begin
  -- What the pool still has, at most; an empty pool opens an empty balance.
  select least(p_tokens, greatest(coalesce(b.total - b.allocated, p_tokens), 0)) into strict v_granted
    from public.budgets b where b.subject_kind = p_kind for update;
  update public.budgets set allocated = allocated + v_granted, updated_at = now() where subject_kind = p_kind;

  insert into public.balances (subject_id, subject_kind, allocated, period)
  values (
    p_subject_id, p_kind, v_granted,
    coalesce((select max(p.number) from public.periods p where p_kind = 'device'), 1)
  )
  returning * into v_balance;
  insert into public.ledger_entries (subject_id, kind, amount, period, actor)
  select p_subject_id, 'grant', v_granted, v_balance.period, p_actor where v_granted <> 0;
  return v_balance;
end
$$;
comment on function private.open_balance(uuid, text, bigint, text) is
  'Opens the balance of a new device or user with tokens drawn from its pool, as many as the pool still has.';

-- ledger/functions/pay_debt.sql

-- Whatever makes tokens available, a grant or a hold that ends, pays the debt first.
create or replace function private.pay_debt()
returns trigger
language plpgsql set search_path = ''
as $$
declare
  v_paid bigint := greatest(least(new.debt, new.allocated - new.used - new.reserved), 0);
begin
  new.debt := new.debt - v_paid;
  new.used := new.used + v_paid;
  return new;
end
$$;
comment on function private.pay_debt() is 'Trigger: pays a balance''s debt from what is available.';

-- ledger/functions/verify_ledger.sql

create or replace function public.verify_ledger()
returns table (name text, ok boolean, checked bigint, discrepancies jsonb)
language plpgsql stable security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: reads every subject's rows, which no API role may. Stable: one snapshot for all checks.
begin
  return query
  with
  allocations as (
    select b.subject_id, b.allocated as stated, coalesce(e.total, 0) as proven
      from public.balances b
      full join (select subject_id, sum(amount) as total from public.ledger_entries group by subject_id) e using (subject_id)
  ),
  spent as (
    select b.subject_id, b.used + b.debt as stated, coalesce(e.total, 0) as proven
      from public.balances b
      left join (
        select subject_id, period, sum(cost) as total
          from (
            select subject_id, period, cost from public.usage_events
            union all
            select subject_id, period, cost from private.retired_usage
          ) debits
         group by subject_id, period
      ) e on e.subject_id = b.subject_id and e.period = b.period
  ),
  held as (
    select subject_id, b.reserved as stated, coalesce(r.total, 0) as proven
      from public.balances b
      full join (
        select subject_id, sum(amount) as total from public.reservations where status = 'held' group by subject_id
      ) r using (subject_id)
  ),
  events as (
    select subject_id, date_bin('15 minutes', occurred_at, 'epoch') as bucket, provider, model, source,
           count(*) as events, sum(prompt_count) as prompts, sum(input_tokens) as input_tokens,
           sum(output_tokens) as output_tokens, sum(total_tokens) as total_tokens, sum(cost) as cost
      from public.usage_events
     group by 1, 2, 3, 4, 5
  ),
  rollups as (
    select subject_id,
           array[r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost]::numeric[] as stated,
           array[e.events, e.prompts, e.input_tokens, e.output_tokens, e.total_tokens, e.cost]::numeric[] as proven
      from public.usage_rollups r
      full join events e using (subject_id, bucket, provider, model, source)
     -- Rollups outlive the events retention drops.
     where bucket >= (select min(lower_bound) from private.usage_partitions())
  ),
  totals as (
    select bucket::text as subject, t.stated, r.proven
      from (
        select bucket,
               array[sum(events), sum(prompts), sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cost)] as stated
          from public.usage_totals group by bucket
      ) t
      full join (
        select bucket,
               array[sum(events), sum(prompts), sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cost)] as proven
          from public.usage_rollups group by bucket
      ) r using (bucket)
  ),
  pools as (
    select p.subject_kind, p.allocated as stated, coalesce(b.total, 0) as proven
      from public.budgets p
      left join (select subject_kind, sum(allocated) as total from public.balances group by subject_kind) b using (subject_kind)
  ),
  transfers as (
    select e.reference, 0::numeric as stated, sum(e.amount) as proven
      from public.ledger_entries e where e.kind = 'transfer' group by e.reference
  ),
  tracked as (
    select u.id as subject_id,
           array[coalesce(c.prompts, 0), coalesce(c.tokens, 0)]::numeric[] as stated,
           array[coalesce(r.prompts, 0), coalesce(r.tokens, 0)]::numeric[] as proven
      from public.users u
      left join public.tracker_counters c on c.user_id = u.id
      left join (
        select subject_id, sum(prompts) as prompts, sum(total_tokens) as tokens
          from public.usage_rollups where source = 'tracker' group by subject_id
      ) r on r.subject_id = u.id
     where c.user_id is not null or r.subject_id is not null
  ),
  owed as (
    select b.subject_id, b.debt as stated, 0::bigint as proven
      from public.balances b where b.debt > 0 and b.allocated > b.used + b.reserved
  ),
  -- A closed generation has one event of what it was settled at; corrections are ledger entries.
  generated as (
    select g.id as subject_id,
           case r.status
             when 'held' then 0
             else g.input_tokens + g.output_tokens - g.uncollected + coalesce(c.amount, 0)
           end::numeric as stated,
           coalesce(e.cost, 0) as proven
      from public.generations g
      join public.reservations r on r.id = g.id
      left join (
        select id, sum(cost) as cost from public.usage_events where source in ('chat', 'api') group by id
      ) e on e.id = g.id
      left join (
        select reference, sum(amount) as amount from public.ledger_entries where kind = 'correction' group by reference
      ) c on c.reference = 'generation:' || g.id
     where r.closed_at is null or r.closed_at >= (select min(lower_bound) from private.usage_partitions())
  ),
  findings as (
    select 'allocated = sum of ledger entries' as title, subject_id::text as subject, to_jsonb(stated) as stated, to_jsonb(proven) as proven from allocations
    union all
    select 'used + debt = sum of event costs in the period', subject_id::text, to_jsonb(stated), to_jsonb(proven) from spent
    union all
    select 'reserved = sum of held reservations', subject_id::text, to_jsonb(stated), to_jsonb(proven) from held
    union all
    select 'rollups = sums of events', subject_id::text, to_jsonb(stated), to_jsonb(proven) from rollups
    union all
    select 'totals = sums of rollups', subject, to_jsonb(stated), to_jsonb(proven) from totals
    union all
    select 'legs of each transfer cancel out', reference, to_jsonb(stated), to_jsonb(proven) from transfers
    union all
    select 'pools = sums of allocations', subject_kind, to_jsonb(stated), to_jsonb(proven) from pools
    union all
    select 'tracker counters = sums of tracker rollups', subject_id::text, to_jsonb(stated), to_jsonb(proven) from tracked
    union all
    select 'debt only where nothing is left', subject_id::text, to_jsonb(stated), to_jsonb(proven) from owed
    union all
    select 'generations = their events and corrections', subject_id::text, to_jsonb(stated), to_jsonb(proven) from generated
  ),
  titles(position, title) as (
    values
      (1, 'allocated = sum of ledger entries'),
      (2, 'used + debt = sum of event costs in the period'),
      (3, 'reserved = sum of held reservations'),
      (4, 'rollups = sums of events'),
      (5, 'totals = sums of rollups'),
      (6, 'legs of each transfer cancel out'),
      (7, 'pools = sums of allocations'),
      (8, 'tracker counters = sums of tracker rollups'),
      (9, 'debt only where nothing is left'),
      (10, 'generations = their events and corrections')
  )
  select t.title,
         count(*) filter (where f.stated is distinct from f.proven and f.title is not null) = 0,
         count(f.title),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', f.subject, 'stated', f.stated, 'proven', f.proven))
             filter (where f.stated is distinct from f.proven and f.title is not null),
           '[]'
         )
    from titles t left join findings f on f.title = t.title
   group by t.position, t.title
   order by t.position;
end
$$;
grant execute on function public.verify_ledger() to service_role;
comment on function public.verify_ledger() is
  'Recomputes every balance, hold, rollup, counter and generation from the rows behind it. One row per check; ok is false where discrepancies lists differences.';

-- ledger/functions/verify_ledger_as.sql

create or replace function public.verify_ledger_as(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: verify_ledger reads every row.
begin
  perform private.require_admin(p_actor);
  return (
    select jsonb_build_object('ok', bool_and(v.ok), 'checks', jsonb_agg(to_jsonb(v))) from public.verify_ledger() v
  );
end
$$;
grant execute on function public.verify_ledger_as(jsonb) to service_role;
comment on function public.verify_ledger_as(jsonb) is 'Runs verify_ledger for an admin: {ok, checks: [{name, ok, checked, discrepancies}]}.';

-- maintenance/functions/drop_old_usage.sql

-- Drops the months that lie entirely before the horizon; what they debited stays in the books.
create or replace function private.drop_old_usage(p_horizon timestamptz)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_partition text;
  v_dropped integer := 0;
begin
  for v_partition in
    select p.name from private.usage_partitions() p
     where (p.lower_bound at time zone 'UTC' + interval '1 month') at time zone 'UTC' <= p_horizon
     order by p.name
  loop
    execute format(
      $query$
        insert into private.retired_usage as u (subject_id, period, cost)
        select subject_id, period, sum(cost) from private.%I where cost > 0 group by subject_id, period
        on conflict (subject_id, period) do update set cost = u.cost + excluded.cost
      $query$, v_partition
    );
    execute format('drop table private.%I', v_partition);
    v_dropped := v_dropped + 1;
  end loop;
  return v_dropped;
end
$$;
comment on function private.drop_old_usage(timestamptz) is 'Drops whole months of usage events before a time; returns how many. Rollups stay.';

-- maintenance/functions/maintain.sql

-- Safe to run at any moment, by any number of servers at once.
create or replace function public.maintain(p_monthly_tokens bigint default null, p_retention_months integer default null)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: expires holds, resets periods, prunes keys and drops partitions, which no API role may.
declare
  v_subjects uuid[];
  v_lost integer := 0;
  v_keys bigint;
  v_ended integer;
  v_dropped integer := 0;
  v_features integer := 0;
  v_reset boolean := false;
begin
  -- One server at a time is enough; the others have nothing left to do.
  if not pg_try_advisory_xact_lock(hashtext('public.maintain')) then
    return jsonb_build_object('ran', false);
  end if;

  perform private.ensure_usage_partition(now() + make_interval(months => n)) from generate_series(0, 3) as n;
  if p_monthly_tokens is not null then
    v_reset := private.reset_when_due(p_monthly_tokens);
  end if;

  select array_agg(distinct r.subject_id) into v_subjects
    from (
      select subject_id from public.reservations
       where status = 'held' and expires_at <= now() order by expires_at limit 1000
    ) r;
  if v_subjects is not null then
    perform from public.balances b where b.subject_id = any (v_subjects) order by b.subject_id for update;
    perform private.expire_reservations(v_subjects);
    v_lost := private.settle_lost_generations(v_subjects, now());
  end if;

  with pruned as (
    delete from private.idempotency_keys where created_at < now() - interval '48 hours' returning 1
  )
  select count(*) into v_keys from pruned;
  delete from private.login_attempts where window_ends_at < now();
  delete from private.known_addresses where last_login_at < now() - interval '180 days';
  v_ended := private.prune_accounts();

  if p_retention_months is not null then
    v_dropped := private.drop_old_usage(private.usage_horizon(p_retention_months));
    v_features := private.prune_features(p_retention_months);
  end if;
  return jsonb_build_object(
    'ran', true, 'reset', v_reset, 'expired_subjects', coalesce(cardinality(v_subjects), 0),
    'lost_generations', v_lost, 'pruned_keys', v_keys,
    'ended_credentials', v_ended, 'dropped_months', v_dropped, 'pruned_features', v_features
  );
end
$$;
grant execute on function public.maintain(bigint, integer) to service_role;
comment on function public.maintain(bigint, integer) is
  'Creates partitions ahead, expires holds, settles chat requests whose server went away, prunes idempotency keys, log-in counters and credentials that have ended; with p_monthly_tokens resets at the month''s start, with p_retention_months drops older events. Returns what it did, ran false where another one is at it.';

-- maintenance/functions/prune_accounts.sql

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

-- metering/functions/earlier_answer.sql

-- A key already used repeats its answer. The caller holds a lock that serialises calls with this key.
create or replace function private.earlier_answer(p_subject_id uuid, p_key text, p_request jsonb)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_earlier private.idempotency_keys;
begin
  select * into v_earlier from private.idempotency_keys where subject_id = p_subject_id and key = p_key;
  if v_earlier.request_hash is distinct from sha256(convert_to(p_request::text, 'UTF8')) and v_earlier.key is not null then
    raise sqlstate 'PT422' using message = 'IDEMPOTENCY_MISMATCH';
  end if;
  return v_earlier.answer;
end
$$;
comment on function private.earlier_answer(uuid, text, jsonb) is
  'Returns the answer given to this idempotency key before, or null; raises IDEMPOTENCY_MISMATCH for another request.';

-- metering/functions/ensure_usage_partition.sql

create or replace function private.ensure_usage_partition(p_at timestamptz)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_from timestamptz := date_trunc('month', p_at, 'UTC');
  v_to timestamptz := (v_from at time zone 'UTC' + interval '1 month') at time zone 'UTC';
  v_name text := 'usage_events_' || to_char(v_from at time zone 'UTC', 'YYYY_MM');
begin
  -- May be out of date in one direction only: a month this session has not heard of yet is tried below.
  if to_regclass('private.' || v_name) is not null then
    return;
  end if;
  -- Two writers may meet at the turn of a month: the second waits until the first has committed or rolled back.
  perform pg_advisory_xact_lock(hashtext('private.ensure_usage_partition'));
  -- Creating is the second look. Looking again would not do: waiting for an advisory lock tells the catalogue cache
  -- nothing of what others committed meanwhile, and a transaction's snapshot may be older still.
  begin
    execute format('create table private.%I (like public.usage_events including all)', v_name);
  exception when duplicate_table then
    return;
  end;
  execute format('alter table private.%I enable row level security', v_name);
  execute format('comment on table private.%I is %L', v_name, 'Usage events of ' || to_char(v_from at time zone 'UTC', 'YYYY-MM') || '.');
  -- Attaching locks the parent less than creating a partition in place: writers go on.
  execute format(
    'alter table public.usage_events attach partition private.%I for values from (%L) to (%L)', v_name, v_from, v_to
  );
end
$$;
comment on function private.ensure_usage_partition(timestamptz) is
  'Creates the month''s partition of usage_events where it is missing.';

-- metering/functions/ensure_usage_partitions.sql

create or replace function private.ensure_usage_partitions(p_events public.usage_events[])
returns void
language sql volatile set search_path = ''
as $$
  select private.ensure_usage_partition(month)
    from (select distinct date_trunc('month', e.occurred_at, 'UTC') as month from unnest(p_events) e) months
$$;
comment on function private.ensure_usage_partitions(public.usage_events[]) is 'Creates the partitions these events fall into.';

-- metering/functions/expire_reservations.sql

-- Holds of devices are given back when they expire; those of chat requests are not, as an answer may have been produced.
create or replace function private.expire_reservations(p_subjects uuid[])
returns void
language sql volatile set search_path = ''
as $$
  with expired as (
    update public.reservations r
       set status = 'expired', closed_at = now()
     where r.subject_id = any (p_subjects) and r.status = 'held' and r.expires_at <= now()
       and not exists (select from public.generations g where g.id = r.id)
    returning r.subject_id, r.amount
  )
  update public.balances b
     set reserved = b.reserved - e.amount, updated_at = now()
    from (select subject_id, sum(amount)::bigint as amount from expired group by subject_id) e
   where b.subject_id = e.subject_id
$$;
comment on function private.expire_reservations(uuid[]) is
  'Closes expired holds of the given subjects and returns their tokens; the balances must be locked by the caller.';

-- metering/functions/export_reservations.sql

create or replace function public.export_reservations(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) - 'subject_id' order by page.created_at, page.id), '[]')
      from (
        select r.* from public.reservations r
         where r.subject_id = v_user_id and (r.created_at, r.id) > (p_after_at, p_after_id)
         order by r.created_at, r.id
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_reservations(integer, timestamptz, uuid) to authenticated;
comment on function public.export_reservations(integer, timestamptz, uuid) is
  'Returns the caller''s holds, oldest first; after (time, id) to page on.';

-- metering/functions/list_model_costs.sql

create or replace function public.list_model_costs(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read model_costs.
begin
  perform private.require_admin(p_actor);
  return (select jsonb_agg(jsonb_build_object('model', c.model, 'cost', c.cost, 'updated_at', c.updated_at) order by c.model)
            from public.model_costs c);
end
$$;
grant execute on function public.list_model_costs(jsonb) to service_role;
comment on function public.list_model_costs(jsonb) is 'Returns all prices; the model * is the price of every other one.';

-- metering/functions/meter_devices.sql

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
           d.id is not null and d.token_version = i.token_version as known, d.blocked, d.user_id,
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

-- metering/functions/record_new_usage_events.sql

-- Ordered, so that calls which bring the same events cannot deadlock.
create or replace function private.record_new_usage_events(p_events public.usage_events[])
returns uuid[]
language plpgsql volatile set search_path = ''
as $$
declare
  v_inserted public.usage_events[];
begin
  perform private.ensure_usage_partitions(p_events);
  with inserted as (
    insert into public.usage_events
    select e.* from unnest(p_events) e order by e.subject_id, e.occurred_at, e.id
    on conflict do nothing
    returning *
  )
  select coalesce(array_agg(row(i.*)::public.usage_events), '{}') into v_inserted from inserted i;
  perform private.roll_up_usage(v_inserted);
  return array(select i.id from unnest(v_inserted) i);
end
$$;
comment on function private.record_new_usage_events(public.usage_events[]) is
  'Inserts the events that are not there yet and rolls them up; returns their ids.';

-- metering/functions/record_usage_events.sql

create or replace function private.record_usage_events(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform private.ensure_usage_partitions(p_events);
  insert into public.usage_events select e.* from unnest(p_events) e;
  perform private.roll_up_usage(p_events);
end
$$;
comment on function private.record_usage_events(public.usage_events[]) is
  'Inserts usage events and adds them to the quarter-hour rollups and totals.';

-- metering/functions/roll_up_usage.sql

create or replace function private.roll_up_usage(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  insert into public.usage_rollups as r (
    subject_id, bucket, provider, model, source, events, prompts, input_tokens, output_tokens, total_tokens, cost
  )
  select e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch'), e.provider, e.model, e.source,
         count(*), sum(e.prompt_count), sum(e.input_tokens), sum(e.output_tokens), sum(e.total_tokens), sum(e.cost)
    from unnest(p_events) e
   group by 1, 2, 3, 4, 5
   order by 1, 2, 3, 4, 5
  on conflict (subject_id, bucket, provider, model, source) do update
    set events = r.events + excluded.events,
        prompts = r.prompts + excluded.prompts,
        input_tokens = r.input_tokens + excluded.input_tokens,
        output_tokens = r.output_tokens + excluded.output_tokens,
        total_tokens = r.total_tokens + excluded.total_tokens,
        cost = r.cost + excluded.cost;
  insert into public.usage_totals as t (
    bucket, shard, events, prompts, input_tokens, output_tokens, total_tokens, cost
  )
  select date_bin('15 minutes', e.occurred_at, 'epoch'), (pg_backend_pid() % 8)::smallint,
         count(*), sum(e.prompt_count), sum(e.input_tokens), sum(e.output_tokens), sum(e.total_tokens), sum(e.cost)
    from unnest(p_events) e
   group by 1
   order by 1
  on conflict (bucket, shard) do update
    set events = t.events + excluded.events,
        prompts = t.prompts + excluded.prompts,
        input_tokens = t.input_tokens + excluded.input_tokens,
        output_tokens = t.output_tokens + excluded.output_tokens,
        total_tokens = t.total_tokens + excluded.total_tokens,
        cost = t.cost + excluded.cost;
end
$$;
comment on function private.roll_up_usage(public.usage_events[]) is 'Adds events to the quarter-hour rollups and totals.';

-- metering/functions/set_model_costs.sql

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
  perform private.audit(
    v_actor, p_actor ->> 'request_id', 'set_model_costs', null, v_before, public.list_model_costs(p_actor)
  );
  return public.list_model_costs(p_actor);
end
$$;
grant execute on function public.set_model_costs(jsonb, jsonb) to service_role;
comment on function public.set_model_costs(jsonb, jsonb) is
  'Sets the prices given as [{model, cost}], removes those whose cost is null, leaves the others. Returns all prices.';

-- metering/functions/usage_partitions.sql

create or replace function private.usage_partitions()
returns table (name text, lower_bound timestamptz)
language sql stable set search_path = ''
as $$
  select c.relname::text,
         to_timestamp(right(c.relname, 7), 'YYYY_MM')::timestamp at time zone 'UTC'
    from pg_catalog.pg_inherits i
    join pg_catalog.pg_class c on c.oid = i.inhrelid
   where i.inhparent = 'public.usage_events'::regclass
$$;
comment on function private.usage_partitions() is 'Returns the months there are partitions of usage_events for, with their start (UTC).';

-- oauth/functions/begin_oauth_flow.sql

create or replace function public.begin_oauth_flow(
  p_state_hash text, p_provider text, p_redirect_uri text default null, p_client_state text default null,
  p_code_challenge text default null
)
returns boolean
language sql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read flows.
  insert into private.oauth_flows (state_hash, provider, redirect_uri, client_state, code_challenge)
  values (decode(p_state_hash, 'hex'), p_provider, p_redirect_uri, p_client_state, p_code_challenge)
  returning true
$$;
grant execute on function public.begin_oauth_flow(text, text, text, text, text) to service_role;
comment on function public.begin_oauth_flow(text, text, text, text, text) is
  'Remembers for 10 minutes a sign-in that is sent to a provider, by the SHA-256 (hex) of its state.';

-- oauth/functions/consume_oauth_flow.sql

create or replace function public.consume_oauth_flow(p_state_hash text, p_provider text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read flows.
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
grant execute on function public.consume_oauth_flow(text, text) to service_role;
comment on function public.consume_oauth_flow(text, text) is
  'Ends a sign-in the provider answers: {redirect_uri, client_state, code_challenge}, once. Raises INVALID_GRANT for an unknown, expired or other provider''s state.';

-- oauth/functions/exchange_oauth_code.sql

create or replace function public.exchange_oauth_code(
  p_code_hash text, p_session jsonb, p_redirect_uri text default null, p_code_challenge text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read codes and sessions. Returns a refusal instead of raising it, so that a code that
-- came with a wrong verifier stays used up.
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
grant execute on function public.exchange_oauth_code(text, jsonb, text, text) to service_role;
comment on function public.exchange_oauth_code(text, jsonb, text, text) is
  'Uses a code up: {granted: true, session_id, user} where it is good and what it is bound to was given, or {granted: false}.';

-- oauth/functions/find_google_user.sql

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
  return private.user_json(v_user);
end
$$;
grant execute on function public.find_google_user(jsonb, bigint) to service_role;
comment on function public.find_google_user(jsonb, bigint) is
  'Returns the account of a person Google vouches for, made where there is none yet; raises INVALID_ACCESS_TOKEN where the address is another person''s.';

-- oauth/functions/issue_oauth_code.sql

create or replace function public.issue_oauth_code(
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
grant execute on function public.issue_oauth_code(jsonb, bigint, text, text, text) to service_role;
comment on function public.issue_oauth_code(jsonb, bigint, text, text, text) is
  'Keeps for 2 minutes the SHA-256 (hex) of a code that opens a session for a provider''s identity; raises INVALID_CREDENTIALS.';

-- oauth/functions/prune_oauth.sql

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
comment on function private.prune_oauth() is 'Removes sign-ins and codes whose time is over; returns how many.';

-- oauth/functions/resolve_external_identity.sql

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
comment on function private.resolve_external_identity(jsonb, bigint) is
  'Returns the account a provider''s identity opens: its own, the one with its address, or a new one. Nulls where the address belongs to another person of that provider.';

-- oauth/functions/sign_in_with_provider.sql

create or replace function public.sign_in_with_provider(p_identity jsonb, p_default_tokens bigint, p_session jsonb)
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
grant execute on function public.sign_in_with_provider(jsonb, bigint, jsonb) to service_role;
comment on function public.sign_in_with_provider(jsonb, bigint, jsonb) is
  'Opens a session for a provider''s identity {provider, subject, email, name, picture}. Returns {session_id, user}; raises INVALID_CREDENTIALS.';

-- password_reset/functions/prune_password_resets.sql

create or replace function private.prune_password_resets()
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_pruned integer;
begin
  delete from private.password_resets where expires_at <= now();
  get diagnostics v_pruned = row_count;
  return v_pruned;
end
$$;
comment on function private.prune_password_resets() is 'For maintenance: removes links that have ended; returns how many.';

-- password_reset/functions/request_password_reset.sql

create or replace function public.request_password_reset(p_email text, p_token_hash text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes private.password_resets and counters, which no API role may.
declare
  v_user_id uuid;
begin
  -- Past the limit the link mailed before stays good: a stranger who keeps asking cannot take it from its owner.
  if private.count_attempt('reset:account', p_email, 3, interval '15 minutes') is not null then
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

-- password_reset/functions/reset_password.sql

create or replace function public.reset_password(p_token_hash text, p_password_hash text)
returns boolean
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
  return true;
end
$$;
grant execute on function public.reset_password(text, text) to service_role;
comment on function public.reset_password(text, text) is
  'Uses up the token (SHA-256, hex): proves the address, sets the password (argon2id hash) and ends every session. Raises INVALID_RESET_TOKEN for one that is unknown, used, expired or not the newest.';

-- periods/functions/close_period.sql

-- The caller has decided that a reset is due; the pool's lock makes it the only one.
create or replace function private.close_period(p_actor text, p_request_id text, p_default_tokens bigint)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_closed integer;
begin
  perform from public.balances b where b.subject_kind = 'device' order by b.subject_id for update;
  update public.periods set closed_at = now(), closed_by = p_actor where closed_at is null
  returning number into strict v_closed;
  insert into public.periods (number, default_tokens) values (v_closed + 1, p_default_tokens);

  -- Holds end with their period; usage that comes in for them is debited from the new one.
  update public.reservations r set status = 'expired', closed_at = now()
    from public.balances b
   where b.subject_id = r.subject_id and b.subject_kind = 'device' and r.status = 'held';
  insert into public.period_balances (period, subject_id, allocated, used)
  select v_closed, b.subject_id, b.allocated, b.used from public.balances b
   where b.subject_kind = 'device' and (b.allocated > 0 or b.used > 0);

  with target as (
    select b.subject_id, b.allocated as before, case when d.deleted_at is null then p_default_tokens else 0 end as after
      from public.balances b join public.devices d on d.id = b.subject_id
  ), entries as (
    insert into public.ledger_entries (subject_id, kind, amount, period, actor, reference)
    select subject_id, 'reset', after - before, v_closed + 1, p_actor, 'period ' || v_closed + 1
      from target where after <> before
  )
  update public.balances b
     set allocated = target.after, used = 0, reserved = 0, period = v_closed + 1, updated_at = now()
    from target where b.subject_id = target.subject_id;

  update public.budgets p
     set allocated = (select coalesce(sum(b.allocated), 0) from public.balances b where b.subject_kind = 'device'),
         updated_at = now()
   where p.subject_kind = 'device';
  perform private.audit(
    p_actor, p_request_id, 'reset_monthly', 'period:' || v_closed,
    jsonb_build_object('period', v_closed), jsonb_build_object('period', v_closed + 1, 'default_tokens', p_default_tokens)
  );
  return v_closed + 1;
end
$$;
comment on function private.close_period(text, text, bigint) is
  'Closes the open period, keeps its history and gives every device the default. The caller holds the devices'' pool. Returns the new period''s number.';

-- periods/functions/list_period_devices.sql

create or replace function public.list_period_devices(p_actor jsonb, p_period integer, p_limit integer, p_after uuid default null)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every device's history, which no API role may.
begin
  perform private.require_admin(p_actor);
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

-- periods/functions/list_periods.sql

create or replace function public.list_periods(p_actor jsonb, p_limit integer, p_before integer default null)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: reads every device's history, which no API role may.
begin
  perform private.require_admin(p_actor);
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

-- periods/functions/reset_monthly.sql

create or replace function public.reset_monthly(p_actor jsonb, p_default_tokens bigint, p_force boolean default false)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: writes balances, periods and the ledger, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_total bigint;
  v_devices bigint;
begin
  select total into strict v_total from public.budgets where subject_kind = 'device' for update;
  if not p_force and exists (
    select from public.periods p where date_trunc('month', p.closed_at, 'UTC') = date_trunc('month', now(), 'UTC')
  ) then
    raise sqlstate 'PT409' using message = 'ALREADY_RESET';
  end if;
  select count(*) into v_devices from public.devices where deleted_at is null;
  if v_devices * p_default_tokens > v_total then
    raise sqlstate 'PT403' using message = 'BUDGET_EXCEEDED',
      detail = jsonb_build_object('requested', v_devices * p_default_tokens, 'remaining', v_total)::text;
  end if;
  return jsonb_build_object(
    'period', private.close_period(v_actor, p_actor ->> 'request_id', p_default_tokens),
    'devices', v_devices, 'default_tokens', p_default_tokens
  );
end
$$;
grant execute on function public.reset_monthly(jsonb, bigint, boolean) to service_role;
comment on function public.reset_monthly(jsonb, bigint, boolean) is
  'Ends the budget period and gives every device the default. Returns {period, devices, default_tokens}; raises ALREADY_RESET for a second time in a month without force, BUDGET_EXCEEDED.';

-- periods/functions/reset_when_due.sql

-- Once a month, by whoever comes first; a pool too small for everybody's default is shared out evenly.
create or replace function private.reset_when_due(p_default_tokens bigint)
returns boolean
language plpgsql volatile set search_path = ''
as $$
declare
  v_total bigint;
  v_devices bigint;
begin
  select total into strict v_total from public.budgets where subject_kind = 'device' for update;
  if not exists (
    select from public.periods p
     where p.closed_at is null and date_trunc('month', p.started_at, 'UTC') < date_trunc('month', now(), 'UTC')
  ) then
    return false;
  end if;
  select count(*) into v_devices from public.devices where deleted_at is null;
  perform private.close_period(
    'system:monthly', null, least(p_default_tokens, coalesce(v_total / nullif(v_devices, 0), p_default_tokens))
  );
  return true;
end
$$;
comment on function private.reset_when_due(bigint) is 'Resets where the open period began in an earlier month (UTC).';

-- sessions/functions/begin_user_login.sql

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
grant execute on function public.begin_user_login(text, text) to service_role;
comment on function public.begin_user_login(text, text) is
  'Counts a log-in attempt before any hashing. Returns {allowed, retry_after} or {allowed, user_id, password_hash}, nulls for an unknown address or an account without password.';

-- sessions/functions/count_attempt.sql

-- Counts one attempt in a window; returns the seconds to wait where the limit is passed, or null.
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
comment on function private.count_attempt(text, text, integer, interval) is
  'Counts an attempt; returns null, or after how many seconds to try again.';

-- sessions/functions/end_session.sql

create or replace function public.end_session(p_caller jsonb, p_session_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read sessions.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  delete from private.sessions where id = p_session_id and user_id = v_user_id;
  if not found then
    raise sqlstate 'PT404' using message = 'SESSION_NOT_FOUND';
  end if;
  return jsonb_build_object('ended', 1);
end
$$;
grant execute on function public.end_session(jsonb, uuid) to service_role;
comment on function public.end_session(jsonb, uuid) is 'Ends one of the account''s sessions. Returns {ended}; raises SESSION_NOT_FOUND.';

-- sessions/functions/end_sessions.sql

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
comment on function private.end_sessions(uuid, uuid) is 'Ends the sessions of an account, but for one; returns how many.';

-- sessions/functions/finish_user_login.sql

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
grant execute on function public.finish_user_login(uuid, text, text, jsonb) to service_role;
comment on function public.finish_user_login(uuid, text, text, jsonb) is
  'After the right password: opens a session, if the password is still that one. Returns {session_id, user}; raises INVALID_CREDENTIALS.';

-- sessions/functions/list_sessions.sql

create or replace function public.list_sessions(
  p_caller jsonb, p_limit integer, p_before_at text default null, p_before_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read sessions.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select s.id, s.created_at, s.last_used_at, s.expires_at, s.user_agent, s.address,
               s.id is not distinct from (p_caller ->> 'session_id')::uuid as current
          from private.sessions s
         where s.user_id = v_user_id and s.expires_at > now()
           and (p_before_id is null or (s.created_at, s.id) < (p_before_at::timestamptz, p_before_id))
         order by s.created_at desc, s.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.list_sessions(jsonb, integer, text, uuid) to service_role;
comment on function public.list_sessions(jsonb, integer, text, uuid) is
  'Returns the account''s running sessions, newest first; before (time, id) to page on.';

-- sessions/functions/log_out.sql

create or replace function public.log_out(p_caller jsonb, p_all boolean)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: no API role may read sessions.
declare
  v_user_id uuid := private.require_user(p_caller);
  v_ended integer := 1;
begin
  if p_all then
    v_ended := private.end_sessions(v_user_id);
  elsif not p_caller ? 'session_id' then
    raise sqlstate 'PT400' using message = 'NO_SESSION';
  else
    delete from private.sessions where id = (p_caller ->> 'session_id')::uuid;
  end if;
  return jsonb_build_object('ended', v_ended);
end
$$;
grant execute on function public.log_out(jsonb, boolean) to service_role;
comment on function public.log_out(jsonb, boolean) is 'Ends the calling session, or all of the account. Returns {ended}; raises NO_SESSION for an API key.';

-- sessions/functions/login_succeeded.sql

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
comment on function private.login_succeeded(text, text, text) is
  'After the right password: remembers the address and forgets its failed attempts.';

-- sessions/functions/login_wait.sql

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
comment on function private.login_wait(text, text, text) is
  'Counts a log-in attempt at an account of a realm (admin, user) from an address; returns null, or the seconds to wait.';

-- sessions/functions/open_session.sql

create or replace function private.open_session(p_user_id uuid, p_session jsonb)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_expires_at timestamptz := now() + make_interval(secs => (p_session ->> 'lifetime_seconds')::integer);
  v_id uuid;
begin
  insert into private.sessions (user_id, expires_at, user_agent, address)
  values (p_user_id, v_expires_at, left(p_session ->> 'user_agent', 300), left(p_session ->> 'address', 100))
  returning id into v_id;
  insert into private.refresh_tokens (token_hash, session_id, expires_at)
  values (decode(p_session ->> 'refresh_hash', 'hex'), v_id, v_expires_at);
  return private.session_json(v_id);
end
$$;
comment on function private.open_session(uuid, jsonb) is
  'Opens a session {refresh_hash, lifetime_seconds, user_agent, address} with its first refresh token; returns {session_id, user}.';

-- sessions/functions/refresh_session.sql

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

  if v_token.used_at is null then
    update private.refresh_tokens set used_at = now(), successor_hash = v_successor_hash where token_hash = v_hash;
    insert into private.refresh_tokens (token_hash, session_id, expires_at)
    values (v_successor_hash, v_session.id, v_expires_at);
    update private.sessions set last_used_at = now(), expires_at = v_expires_at where id = v_session.id;
    return jsonb_build_object('outcome', 'refreshed') || private.session_json(v_session.id);
  end if;

  -- Two requests of one client may carry the same token, or an answer may be lost: both get the same successor,
  -- as long as nobody has used that one.
  if v_token.used_at > now() - interval '10 seconds' and v_token.successor_hash = v_successor_hash and exists (
    select from private.refresh_tokens t where t.token_hash = v_token.successor_hash and t.used_at is null
  ) then
    return jsonb_build_object('outcome', 'refreshed') || private.session_json(v_session.id);
  end if;

  delete from private.sessions where id = v_session.id;
  perform private.audit('system:sessions', null, 'refresh_token_reused', 'user:' || v_session.user_id, null, null);
  return jsonb_build_object('outcome', 'reused');
end
$$;
grant execute on function public.refresh_session(text, text, integer) to service_role;
comment on function public.refresh_session(text, text, integer) is
  'Exchanges a refresh token for its successor (both as SHA-256 in hex). Returns {outcome: refreshed, session_id, user}, unknown, or reused: then the session has been ended.';

-- sessions/functions/session_json.sql

create or replace function private.session_json(p_session_id uuid)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object('session_id', s.id, 'user', private.user_json(u))
    from private.sessions s join public.users u on u.id = s.user_id
   where s.id = p_session_id
$$;
comment on function private.session_json(uuid) is 'Returns a session as a log-in returns it: {session_id, user}.';

-- settings/functions/changed_states.sql

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
      select r.*, private.is_credential_valid(r.id, r.session_id, r.api_key_id) as live
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

-- settings/functions/epoch_ms.sql

create or replace function private.epoch_ms()
returns bigint
language sql volatile set search_path = ''
as $$ select floor(extract(epoch from clock_timestamp()) * 1000)::bigint $$;
comment on function private.epoch_ms() is
  'Returns this moment in milliseconds since 1970; not the transaction''s start, which may lie before a wait for a lock.';

-- settings/functions/export_settings.sql

create or replace function public.export_settings(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id text default ''
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at, page.id), '[]')
      from (
        select e.name as id, e.value, e.deleted, e.updated_at, e.claimed_at, e.device, e.version, e.created_at
          from public.settings_entries e
         where e.user_id = v_user_id and (e.created_at, e.name) > (p_after_at, p_after_id)
         order by e.created_at, e.name
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_settings(integer, timestamptz, text) to authenticated;
comment on function public.export_settings(integer, timestamptz, text) is
  'Returns the caller''s settings by name (as id), those used first at the beginning; after (time, id) to page on.';

-- settings/functions/export_settings_versions.sql

create or replace function public.export_settings_versions(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id text default '0'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at, page.id::bigint), '[]')
      from (
        select v.version::text as id, v.settings, v.action, v.device, v.created_at
          from public.settings_versions v
         where v.user_id = v_user_id and (v.created_at, v.version) > (p_after_at, p_after_id::bigint)
         order by v.created_at, v.version
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_settings_versions(integer, timestamptz, text) to authenticated;
comment on function public.export_settings_versions(integer, timestamptz, text) is
  'Returns the versions kept of the caller''s settings (as id), oldest first; after (time, id) to page on.';

-- settings/functions/json_bytes.sql

create or replace function private.json_bytes(p_document jsonb)
returns integer
language sql immutable strict set search_path = ''
as $$ select octet_length(regexp_replace(p_document::text, '("(?:[^"\\]|\\.)*")|[ ]', '\1', 'g')) $$;
comment on function private.json_bytes(jsonb) is
  'Returns length of a document as JSON in bytes, without the blanks Postgres writes between its parts.';

-- settings/functions/my_settings.sql

create or replace function public.my_settings()
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
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

-- settings/functions/my_settings_changes.sql

create or replace function public.my_settings_changes(p_since bigint)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
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

-- settings/functions/my_settings_history.sql

create or replace function public.my_settings_history()
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
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

-- settings/functions/overwrite_settings.sql

create or replace function private.overwrite_settings(p_user_id uuid, p_action text, p_device text, p_settings jsonb)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_now bigint := private.epoch_ms();
  v_entries jsonb;
begin
  -- Later than all there is, also within the same millisecond and where the clock was set back.
  select coalesce(jsonb_agg(jsonb_build_object(
           'name', coalesce(n.key, e.name), 'value', n.value, 'deleted', n.key is null,
           'updated_at', greatest(v_now, e.updated_at + 1), 'claimed_at', greatest(v_now, e.updated_at + 1)
         )), '[]')
    into v_entries
    from jsonb_each(p_settings) n
    full join (select o.* from public.settings_entries o where o.user_id = p_user_id) e on e.name = n.key
   where n.key is not null or not e.deleted;
  perform private.write_settings(p_user_id, p_action, p_device, v_entries);
end
$$;
comment on function private.overwrite_settings(uuid, text, text, jsonb) is
  'Makes a document the settings of an account: what it lacks is deleted, and no change made before wins against it.';

-- settings/functions/prune_settings.sql

-- Forgets all but the newest deletions, and notes up to where: whoever knows no later version reads everything anew.
create or replace function private.prune_settings(p_user_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_oldest record;
begin
  select d.version, d.name into v_oldest
    from public.settings_entries d
   where d.user_id = p_user_id and d.deleted
   order by d.version desc, d.name
  offset 1000 limit 1;
  if found then
    with pruned as (
      delete from public.settings_entries e
       where e.user_id = p_user_id and e.deleted
         and (e.version < v_oldest.version or (e.version = v_oldest.version and e.name >= v_oldest.name))
      returning e.version, e.updated_at
    )
    update public.settings s
       set pruned_version = greatest(s.pruned_version, p.version), pruned_at = greatest(s.pruned_at, p.updated_at)
      from (select max(version) as version, max(updated_at) as updated_at from pruned) p
     where s.user_id = p_user_id;
  end if;
  delete from public.settings_versions v
   where v.user_id = p_user_id and v.version <= (select s.version - 20 from public.settings s where s.user_id = p_user_id);
end
$$;
comment on function private.prune_settings(uuid) is 'Keeps the newest 1,000 deletions and the last 20 versions of an account''s settings.';

-- settings/functions/push_settings.sql

create or replace function public.push_settings(
  p_caller jsonb, p_base_version bigint, p_changes jsonb, p_device text default ''
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
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

-- settings/functions/put_settings.sql

create or replace function public.put_settings(
  p_caller jsonb, p_settings jsonb, p_versions bigint[] default null, p_device text default ''
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
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

-- settings/functions/resolve_timestamps.sql

create or replace function private.resolve_timestamps(p_user_id uuid, p_device text, p_changes jsonb)
returns table (name text, value jsonb, updated_at bigint, claimed_at bigint)
language plpgsql volatile set search_path = ''
as $$
declare
  v_now bigint := private.epoch_ms();
begin
  return query
    with claimed as materialized (
      select c.key as name, c.value -> 'value' as value, (c.value ->> 'updated_at')::bigint as claimed_at
        from jsonb_each(p_changes) c
    ),
    dated as materialized (
      -- While a device's clock is ahead, its changes keep the order it made them in, however late one of them comes.
      select c.name, c.value, least(c.claimed_at, v_now, (
               select min(k.updated_at) from private.future_changes k
                where k.user_id = p_user_id and k.name = c.name and k.device = p_device
                  and (k.claimed_at = c.claimed_at or (k.claimed_at > c.claimed_at and c.claimed_at > v_now))
             )) as updated_at, c.claimed_at
        from claimed c
    ),
    remembered as (
      insert into private.future_changes (user_id, name, device, claimed_at, updated_at)
      select p_user_id, d.name, p_device, d.claimed_at, d.updated_at from dated d where d.updated_at < d.claimed_at
      on conflict do nothing
    )
    select d.name, d.value, d.updated_at, d.claimed_at from dated d;
  delete from private.future_changes k
   where k.user_id = p_user_id and k.id <= (
     select o.id from private.future_changes o where o.user_id = p_user_id order by o.id desc offset 2000 limit 1
   );
end
$$;
comment on function private.resolve_timestamps(uuid, text, jsonb) is
  'Returns changes {name: {value | deleted, updated_at}} with the time that counts: what the device claims, at most when the change first came.';

-- settings/functions/restore_settings.sql

create or replace function public.restore_settings(p_caller jsonb, p_version bigint, p_device text default '')
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes settings, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
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

-- settings/functions/settings_json.sql

create or replace function private.settings_json(p_user_id uuid)
returns jsonb
language sql stable set search_path = '' set timezone = 'UTC'
as $$
  select jsonb_build_object(
           'settings', coalesce(v.settings, '{}'), 'version', coalesce(s.version, 0), 'last_synced_at', s.last_synced_at
         )
    from (select 1) one
    left join public.settings s on s.user_id = p_user_id
    left join public.settings_versions v on v.user_id = s.user_id and v.version = s.version
$$;
comment on function private.settings_json(uuid) is 'Returns the settings of an account as its owner sees them: {settings, version, last_synced_at}.';

-- settings/functions/write_settings.sql

-- The only writer of settings; its callers hold the account.
create or replace function private.write_settings(p_user_id uuid, p_action text, p_device text, p_entries jsonb)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_version bigint;
  v_document jsonb;
begin
  insert into public.settings (user_id) values (p_user_id) on conflict (user_id) do nothing;
  select s.version + 1 into v_version from public.settings s where s.user_id = p_user_id;

  -- A value that is set again keeps its version, as no device has to hear of it.
  insert into public.settings_entries as e (user_id, name, value, updated_at, claimed_at, device, version)
  select p_user_id, c.entry ->> 'name', case when not (c.entry ->> 'deleted')::boolean then c.entry -> 'value' end,
         (c.entry ->> 'updated_at')::bigint, (c.entry ->> 'claimed_at')::bigint, p_device, v_version
    from jsonb_array_elements(p_entries) as c(entry)
  on conflict (user_id, name) do update
    set value = excluded.value, updated_at = excluded.updated_at, claimed_at = excluded.claimed_at, device = excluded.device,
        version = case when e.value is distinct from excluded.value then excluded.version else e.version end;
  if p_action = 'push' and not exists (
    select from public.settings_entries e where e.user_id = p_user_id and e.version = v_version
  ) then
    return;
  end if;

  select coalesce(jsonb_object_agg(e.name, e.value), '{}') into v_document
    from public.settings_entries e where e.user_id = p_user_id and not e.deleted;
  if octet_length(v_document::text) > 262144 and private.json_bytes(v_document) > 262144 then
    raise sqlstate 'PT413' using message = 'SETTINGS_TOO_LARGE';
  end if;
  update public.settings set version = v_version, last_synced_at = clock_timestamp() where user_id = p_user_id;
  insert into public.settings_versions (user_id, version, settings, action, device)
  values (p_user_id, v_version, v_document, p_action, p_device);
  perform private.prune_settings(p_user_id);
end
$$;
comment on function private.write_settings(uuid, text, text, jsonb) is
  'Writes changes [{name, value, deleted, updated_at, claimed_at}] that have won, as the next version; a push that changes no value makes none. Raises SETTINGS_TOO_LARGE where the document would be longer than 256 KiB.';

-- subscriptions/functions/apply_invoice.sql

-- Tokens follow money: a paid period adds its tier's tokens once; after a change of tier the rest of a period adds and takes
-- off its share, as Stripe charges and credits it.
create or replace function public.apply_invoice(p_invoice jsonb, p_event jsonb default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes grants, balances, the pool and the ledger, which no API role may.
declare
  v_user_id uuid := private.lock_customer(p_invoice ->> 'customer_id', null);
  v_subscription_id text := p_invoice ->> 'subscription_id';
  v_invoice_id text := p_invoice ->> 'invoice_id';
  v_main record;
  v_owed bigint;
  v_granted bigint;
begin
  if v_user_id is null then
    return jsonb_build_object('outcome', 'unknown_customer');
  elsif not private.record_stripe_event(p_event) then
    return jsonb_build_object('outcome', 'duplicate');
  elsif exists (select from public.subscription_grants g where g.stripe_invoice_id = v_invoice_id) then
    return jsonb_build_object('outcome', 'kept');
  end if;

  -- The line that names the invoice's period, and what all lines come to.
  select shares.*, shares.share = 1 and not shares.proration and shares.sign > 0 as renewal,
         sum(round(shares.sign * shares.share * shares.monthly_tokens)) over ()::bigint as net
    into v_main
    from (
      select line.tier, line.sign, line.proration, plan.monthly_tokens, period.starts, period.ends,
             case
               when line.proration then private.period_share(v_subscription_id, period.starts, period.ends)
               when exists (
                 select from public.subscription_grants g
                  where g.stripe_subscription_id = v_subscription_id and g.period_start = period.starts and g.renewal
               ) then 0
               else 1
             end as share
        from jsonb_to_recordset(p_invoice -> 'lines')
               as line(tier text, sign integer, proration boolean, period_start bigint, period_end bigint)
        join public.plans plan using (tier)
        cross join lateral (
          select to_timestamp(line.period_start) as starts, to_timestamp(line.period_end) as ends
        ) period
    ) shares
   order by shares.proration, shares.sign desc, shares.ends desc
   limit 1;
  -- A period is noted also where its tier adds nothing, so that it does not when the plan is edited later.
  if v_main.tier is null or (v_main.net = 0 and not v_main.renewal) then
    return jsonb_build_object('outcome', 'kept');
  end if;

  -- What earlier invoices credited beyond what they charged is still to be made up for.
  select least(0, sum(g.net_tokens - g.granted_tokens))::bigint into v_owed
    from public.subscription_grants g where g.stripe_subscription_id = v_subscription_id;
  v_granted := private.grant_subscription(
    v_user_id, v_main.net + coalesce(v_owed, 0),
    case when v_main.renewal then v_subscription_id || to_char(v_main.starts at time zone 'UTC', ' YYYY-MM-DD"T"HH24:MI:SS"Z"') else v_invoice_id end
  );
  insert into public.subscription_grants (
    user_id, stripe_invoice_id, stripe_subscription_id, tier, renewal, period_start, period_end, net_tokens, granted_tokens
  )
  values (
    v_user_id, v_invoice_id, v_subscription_id, v_main.tier, v_main.renewal, v_main.starts, v_main.ends, v_main.net, v_granted
  );
  return jsonb_build_object('outcome', 'applied', 'granted', v_granted);
end
$$;
grant execute on function public.apply_invoice(jsonb, jsonb) to service_role;
comment on function public.apply_invoice(jsonb, jsonb) is
  'Grants what a paid invoice {invoice_id, customer_id, subscription_id, lines: [{tier, sign, proration, period_start, period_end}]} is worth: sign is 1 for a charge, -1 for a credit, 0 for what is free; times in epoch seconds. Returns {outcome}: applied with the granted tokens, kept, duplicate or unknown_customer.';

-- subscriptions/functions/apply_subscription.sql

create or replace function public.apply_subscription(p_state jsonb, p_event jsonb default null, p_version bigint default null)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes subscriptions and events, which no API role may.
declare
  v_user_id uuid := private.lock_customer(p_state ->> 'customer_id', (p_state ->> 'user_id')::uuid);
  v_at timestamptz := to_timestamp((p_event ->> 'created')::bigint);
  v_row public.subscriptions;
  v_verdict text;
begin
  if v_user_id is null then
    return jsonb_build_object('outcome', 'unknown_customer');
  elsif exists (select from private.stripe_events e where e.id = p_event ->> 'id') then
    return jsonb_build_object('outcome', 'duplicate');
  end if;
  select s.* into strict v_row from public.subscriptions s where s.user_id = v_user_id;
  v_verdict := private.compare_state(v_row, p_state, v_at, p_version);
  if v_verdict = 'refetch' then
    return jsonb_build_object('outcome', 'refetch', 'version', v_row.version);
  elsif not private.record_stripe_event(p_event) then
    return jsonb_build_object('outcome', 'duplicate');
  elsif v_verdict = 'keep' then
    return jsonb_build_object('outcome', 'kept');
  end if;

  -- Five minutes are more than a fetch takes and clocks differ: events from before them are in what was fetched.
  v_at := coalesce(v_at, now() - interval '5 minutes');
  update public.subscriptions s
     set stripe_subscription_id = p_state ->> 'subscription_id',
         tier = coalesce(p_state ->> 'tier', s.tier),
         status = p_state ->> 'status',
         current_period_start = to_timestamp((p_state ->> 'period_start')::bigint),
         current_period_end = to_timestamp((p_state ->> 'period_end')::bigint),
         cancel_at_period_end = (p_state ->> 'cancels')::boolean,
         grace_ends_at = case
           when p_state ->> 'status' <> 'past_due' then null
           when s.status = 'past_due' and s.stripe_subscription_id = p_state ->> 'subscription_id' then s.grace_ends_at
           else greatest(v_at, s.state_at) + make_interval(days => (p_state ->> 'grace_days')::integer)
         end,
         started_at = to_timestamp((p_state ->> 'created')::bigint),
         state_at = greatest(v_at, s.state_at),
         version = s.version + 1,
         updated_at = now()
   where s.user_id = v_user_id;
  return jsonb_build_object('outcome', 'applied');
end
$$;
grant execute on function public.apply_subscription(jsonb, jsonb, bigint) to service_role;
comment on function public.apply_subscription(jsonb, jsonb, bigint) is
  'Applies a state {subscription_id, customer_id, user_id, status, tier, period_start, period_end, cancels, created, grace_days} (times in epoch seconds) where it is newer: the event''s {id, type, created}, or fetched when the row had p_version. Returns {outcome}: applied, kept, duplicate, unknown_customer, or refetch with the version to fetch for; a state without status asks for that.';

-- subscriptions/functions/assert_device_room.sql

create or replace function private.assert_device_room(p_user_id uuid)
returns void
language plpgsql stable set search_path = ''
as $$
declare
  v_limit integer;
  v_devices integer;
begin
  select p.device_limit into v_limit
    from public.plans p
   where p.tier = coalesce(
     (select public.effective_tier(s) from public.subscriptions s where s.user_id = p_user_id), 'free'
   );
  select count(*) into v_devices from public.devices d where d.user_id = p_user_id and d.deleted_at is null;
  if v_devices > v_limit then
    raise sqlstate 'PT403' using message = 'DEVICE_LIMIT', detail = jsonb_build_object('limit', v_limit)::text;
  end if;
end
$$;
comment on function private.assert_device_room(uuid) is
  'Raises DEVICE_LIMIT where more devices are linked to an account than its tier has room for.';

-- subscriptions/functions/attach_stripe_customer.sql

create or replace function public.attach_stripe_customer(p_caller jsonb, p_customer_id text, p_replaces text default null)
returns text
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes subscriptions, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  insert into public.subscriptions as s (user_id, stripe_customer_id, version) values (v_user_id, p_customer_id, 1)
  on conflict (user_id) do update
    set stripe_customer_id = excluded.stripe_customer_id, version = s.version + 1, updated_at = now()
   where s.stripe_customer_id is not distinct from p_replaces;
  return (select s.stripe_customer_id from public.subscriptions s where s.user_id = v_user_id);
end
$$;
grant execute on function public.attach_stripe_customer(jsonb, text, text) to service_role;
comment on function public.attach_stripe_customer(jsonb, text, text) is
  'Notes who the caller is at Stripe, where they are nobody yet or the one to be replaced. Returns the customer that holds from now on.';

-- subscriptions/functions/begin_stripe_sync.sql

-- Webhooks get lost, so what Stripe has is compared with what is here every now and then.
create or replace function public.begin_stripe_sync(p_minutes integer)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes what no API role may.
declare
  v_begun boolean;
begin
  insert into private.stripe_syncs as s (started_at) values (now())
  on conflict (id) do update set started_at = now()
   where s.started_at <= now() - make_interval(mins => p_minutes);
  v_begun := found;
  -- Stripe sends an event again for three days, and by hand for thirty.
  delete from private.stripe_events where v_begun and received_at < now() - interval '90 days';
  return v_begun;
end
$$;
grant execute on function public.begin_stripe_sync(integer) to service_role;
comment on function public.begin_stripe_sync(integer) is
  'Returns whether a comparison is due, which is every so many minutes for all servers together; then it counts as begun. Forgets old events.';

-- subscriptions/functions/compare_state.sql

-- An event's state is newer than the row's by its time; a fetched one where nothing was applied since before it was
-- fetched. Where it cannot be decided, the state is fetched (again).
create or replace function private.compare_state(p_row public.subscriptions, p_state jsonb, p_at timestamptz, p_version bigint)
returns text
language sql stable set search_path = ''
as $$
  select case
    when not p_state ? 'status' then 'refetch'
    when p_version <> p_row.version then 'refetch'
    -- Of two subscriptions of one person the row is about the one that runs, or else the one made last. When the other
    -- one's state was from is not kept, so the row changes over only to what was fetched.
    when p_row.stripe_subscription_id <> p_state ->> 'subscription_id' then case
      when p_state ->> 'tier' is not null
        and (private.is_running(p_state ->> 'status'), to_timestamp((p_state ->> 'created')::bigint), p_state ->> 'subscription_id')
          > (private.is_running(p_row.status), p_row.started_at, p_row.stripe_subscription_id)
        then case when p_version is null then 'refetch' else 'apply' end
      else 'keep'
    end
    when p_row.stripe_subscription_id is null and p_state ->> 'tier' is null then 'keep'
    when private.is_unchanged(p_row, p_state) then case when p_at > p_row.state_at then 'apply' else 'keep' end
    when p_version is not null or p_row.stripe_subscription_id is null or p_at > p_row.state_at then 'apply'
    when p_at < p_row.state_at then 'keep'
    else 'refetch'
  end
$$;
comment on function private.compare_state(public.subscriptions, jsonb, timestamptz, bigint) is
  'Returns what to do with a state of this time, or fetched when the row had this version: apply, keep (the row as it is) or refetch.';

-- subscriptions/functions/detach_stripe_customer.sql

create or replace function public.detach_stripe_customer(p_caller jsonb, p_customer_id text)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes subscriptions, which no API role may.
declare
  v_user_id uuid := private.lock_user(p_caller);
begin
  update public.subscriptions s
     set stripe_customer_id = null, stripe_subscription_id = null, tier = null, status = 'none',
         current_period_start = null, current_period_end = null, cancel_at_period_end = false, grace_ends_at = null,
         started_at = null, state_at = null, version = s.version + 1, updated_at = now()
   where s.user_id = v_user_id and s.stripe_customer_id = p_customer_id;
  return jsonb_build_object('detached', found);
end
$$;
grant execute on function public.detach_stripe_customer(jsonb, text) to service_role;
comment on function public.detach_stripe_customer(jsonb, text) is
  'Forgets a customer that was deleted at Stripe, and the subscription that ended with it. Returns {detached}.';

-- subscriptions/functions/effective_tier.sql

create or replace function public.effective_tier(p_subscription public.subscriptions)
returns text
language sql stable security invoker set search_path = ''
as $$
  select case
    when p_subscription.user_id is null then null
    when p_subscription.status in ('trialing', 'active') then p_subscription.tier
    when p_subscription.status = 'past_due' and now() < p_subscription.grace_ends_at then p_subscription.tier
    else 'free'
  end
$$;
grant execute on function public.effective_tier(public.subscriptions) to authenticated;
comment on function public.effective_tier(public.subscriptions) is
  'Returns the tier whose limits hold now: the subscribed one while it is paid or in its days of grace, free otherwise; null for no row.';

-- subscriptions/functions/export_subscription_grants.sql

create or replace function public.export_subscription_grants(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) - 'user_id' order by page.created_at, page.id), '[]')
      from (
        select g.* from public.subscription_grants g
         where g.user_id = v_user_id and (g.created_at, g.id) > (p_after_at, p_after_id)
         order by g.created_at, g.id
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_subscription_grants(integer, timestamptz, uuid) to authenticated;
comment on function public.export_subscription_grants(integer, timestamptz, uuid) is
  'Returns what the caller paid for and was granted, oldest first; after (time, id) to page on.';

-- subscriptions/functions/export_subscriptions.sql

create or replace function public.export_subscriptions(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at, page.id), '[]')
      from (
        select s.user_id as id, s.stripe_customer_id, s.stripe_subscription_id, s.tier, s.status, s.current_period_start,
               s.current_period_end, s.cancel_at_period_end, s.grace_ends_at, s.started_at, s.created_at, s.updated_at
          from public.subscriptions s
         where s.user_id = v_user_id and (s.created_at, s.user_id) > (p_after_at, p_after_id)
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_subscriptions(integer, timestamptz, uuid) to authenticated;
comment on function public.export_subscriptions(integer, timestamptz, uuid) is
  'Returns the caller''s subscription, in a list of one or none; after (time, id) to page on.';

-- subscriptions/functions/get_plan.sql

create or replace function public.get_plan(p_tier text)
returns jsonb
language sql stable security definer set search_path = ''
as $$
  -- Definer: no API role may read the plans, but everybody may know what one tier is worth.
  select jsonb_build_object('tier', p.tier, 'monthly_tokens', p.monthly_tokens, 'device_limit', p.device_limit)
    from public.plans p where p.tier = p_tier
$$;
grant execute on function public.get_plan(text) to authenticated;
comment on function public.get_plan(text) is 'Returns what a tier is worth: {tier, monthly_tokens, device_limit}.';

-- subscriptions/functions/get_stripe_account.sql

create or replace function public.get_stripe_account(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads the address and the subscription of whoever the server names.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return (
    select jsonb_build_object(
             'user_id', u.id, 'email', u.email, 'customer_id', s.stripe_customer_id,
             'subscription_id', case when private.is_running(s.status) then s.stripe_subscription_id end,
             'version', coalesce(s.version, 0)
           )
      from public.users u left join public.subscriptions s on s.user_id = u.id
     where u.id = v_user_id
  );
end
$$;
grant execute on function public.get_stripe_account(jsonb) to service_role;
comment on function public.get_stripe_account(jsonb) is
  'Returns who the caller is at Stripe: {user_id, email, customer_id, subscription_id, version}; subscription_id is null where none runs.';

-- subscriptions/functions/grant_subscription.sql

-- Adds tokens to a person's balance. The pool does not stop it: what was paid for must not be lost, so the pool may go over
-- its total, and then gives nothing to others until an admin raises it.
create or replace function private.grant_subscription(p_user_id uuid, p_tokens bigint, p_reference text)
returns bigint
language plpgsql volatile set search_path = ''
as $$
declare
  v_tokens bigint;
begin
  perform from public.budgets where subject_kind = 'user' for update;
  select least(p_tokens, 9007199254740991 - b.allocated) into strict v_tokens
    from public.balances b where b.subject_id = p_user_id for update;
  if v_tokens <= 0 then
    return 0;
  end if;
  perform private.change_allocation(p_user_id, v_tokens, 'subscription', 'system:stripe', p_reference);
  update public.budgets set allocated = allocated + v_tokens, updated_at = now() where subject_kind = 'user';
  return v_tokens;
end
$$;
comment on function private.grant_subscription(uuid, bigint, text) is
  'Grants tokens that were paid for, through the ledger; returns how many, less only where a balance could not hold them.';

-- subscriptions/functions/is_running.sql

-- Statuses in which Stripe goes on with a subscription, paid or not.
create or replace function private.is_running(p_status text)
returns boolean
language sql immutable set search_path = ''
as $$ select p_status in ('trialing', 'active', 'past_due', 'unpaid', 'paused') $$;
comment on function private.is_running(text) is 'Returns whether a subscription of this status may still be billed.';

-- subscriptions/functions/is_unchanged.sql

create or replace function private.is_unchanged(p_row public.subscriptions, p_state jsonb)
returns boolean
language sql stable set search_path = ''
as $$
  select (p_row.stripe_subscription_id, p_row.status, p_row.tier, p_row.current_period_start, p_row.current_period_end,
          p_row.cancel_at_period_end)
    is not distinct from
         (p_state ->> 'subscription_id', p_state ->> 'status', coalesce(p_state ->> 'tier', p_row.tier),
          to_timestamp((p_state ->> 'period_start')::bigint), to_timestamp((p_state ->> 'period_end')::bigint),
          (p_state ->> 'cancels')::boolean)
$$;
comment on function private.is_unchanged(public.subscriptions, jsonb) is 'Returns whether a state is the one the row has.';

-- subscriptions/functions/list_running_subscriptions.sql

create or replace function public.list_running_subscriptions(p_limit integer, p_after text default '')
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every subscription, which no API role may.
begin
  return (
    select coalesce(jsonb_agg(page.id order by page.id), '[]')
      from (
        select s.stripe_subscription_id as id from public.subscriptions s
         where private.is_running(s.status) and s.stripe_subscription_id > p_after
         order by s.stripe_subscription_id
         limit p_limit
      ) page
  );
end
$$;
grant execute on function public.list_running_subscriptions(integer, text) to service_role;
comment on function public.list_running_subscriptions(integer, text) is
  'Returns Stripe''s ids of the subscriptions that run as far as is known here, in order; after an id to page on.';

-- subscriptions/functions/lock_customer.sql

-- Events of one person wait for each other here, and for a deletion. An unknown customer returns null.
create or replace function private.lock_customer(p_customer_id text, p_user_id uuid)
returns uuid
language plpgsql volatile set search_path = ''
as $$
declare
  v_user_id uuid;
begin
  select s.user_id into v_user_id from public.subscriptions s where s.stripe_customer_id = p_customer_id;
  if v_user_id is null or v_user_id <> p_user_id then
    return null;
  end if;
  perform from public.users u where u.id = v_user_id for no key update;
  -- The account may have been deleted, or its customer replaced, while this waited.
  return (
    select s.user_id from public.subscriptions s where s.user_id = v_user_id and s.stripe_customer_id = p_customer_id
  );
end
$$;
comment on function private.lock_customer(text, uuid) is
  'Returns the account of a Stripe customer, locked until the transaction ends; null for an unknown customer, or one of another user than the given.';

-- subscriptions/functions/my_subscription.sql

create or replace function public.my_subscription()
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
  v_row public.subscriptions;
  v_tier text;
  v_since timestamptz;
begin
  select s.* into v_row from public.subscriptions s where s.user_id = v_user_id;
  v_tier := coalesce(public.effective_tier(v_row), 'free');
  v_since := case when v_tier = 'free' then date_trunc('month', now()) else v_row.current_period_start end;
  return jsonb_build_object(
    'tier', v_tier,
    'status', coalesce(v_row.status, 'none'),
    'subscribed_tier', v_row.tier,
    'current_period_start', v_row.current_period_start,
    'current_period_end', v_row.current_period_end,
    'cancel_at_period_end', coalesce(v_row.cancel_at_period_end, false),
    'grace_ends_at', v_row.grace_ends_at,
    'usage', public.get_plan(v_tier) - 'tier' || jsonb_build_object(
      'since', v_since,
      'tokens_granted', (
        select coalesce(sum(g.granted_tokens), 0) from public.subscription_grants g
         where g.user_id = v_user_id and g.period_start >= v_since
      ),
      'tokens_used', public.my_tokens_used(v_since),
      'tokens_left', (
        select coalesce(sum(b.allocated - b.used - b.reserved), 0) from public.balances b where b.subject_id = v_user_id
      ),
      'devices', (select count(*) from public.devices d where d.user_id = v_user_id and d.deleted_at is null)
    )
  );
end
$$;
grant execute on function public.my_subscription() to authenticated;
comment on function public.my_subscription() is
  'Returns the caller''s tier in force, subscription and what was used of it since the period, or for free the month, began.';

-- subscriptions/functions/my_tokens_used.sql

-- Rollups know quarter hours; the rest of the first one is counted from the debits themselves.
create or replace function public.my_tokens_used(p_since timestamptz)
returns bigint
language sql stable security invoker set search_path = ''
as $$
  select coalesce(sum(parts.cost), 0)::bigint
    from (
      select public.require_current_user() as user_id,
             date_bin('15 minutes', p_since + interval '15 minutes' - interval '1 microsecond', 'epoch') as quarter
    ) own
    cross join lateral (
      select r.cost from public.usage_rollups r
       where r.subject_id = own.user_id and r.bucket >= own.quarter and r.source <> 'device'
      union all
      select e.cost from public.usage_events e
       where e.subject_id = own.user_id and e.cost > 0 and e.source <> 'device'
         and e.occurred_at >= p_since and e.occurred_at < own.quarter
    ) parts
$$;
grant execute on function public.my_tokens_used(timestamptz) to authenticated;
comment on function public.my_tokens_used(timestamptz) is 'Returns tokens debited from the caller''s balance since a time.';

-- subscriptions/functions/period_share.sql

create or replace function private.period_share(p_subscription_id text, p_start timestamptz, p_end timestamptz)
returns numeric
language sql stable set search_path = ''
as $$
  select least(1, extract(epoch from p_end - p_start) / nullif(extract(epoch from p_end - whole.start), 0))
    from (
      select coalesce(
        (
          select g.period_start from public.subscription_grants g
           where g.stripe_subscription_id = p_subscription_id and g.period_end = p_end and g.renewal
        ),
        (
          select s.current_period_start from public.subscriptions s
           where s.stripe_subscription_id = p_subscription_id and s.current_period_end = p_end
        ),
        (p_end at time zone 'UTC' - interval '1 month') at time zone 'UTC'
      ) as start
    ) whole
$$;
comment on function private.period_share(text, timestamptz, timestamptz) is
  'Returns how much of its billing period lies between a time and the period''s end, from 0 to 1; a period that is not known is a month.';

-- subscriptions/functions/record_stripe_event.sql

-- A second delivery that arrives meanwhile waits here until the first commits or fails.
create or replace function private.record_stripe_event(p_event jsonb)
returns boolean
language plpgsql volatile set search_path = ''
as $$
begin
  if p_event is null then
    return true;
  end if;
  insert into private.stripe_events (id, type, created_at)
  values (p_event ->> 'id', p_event ->> 'type', to_timestamp((p_event ->> 'created')::bigint))
  on conflict (id) do nothing;
  return found;
end
$$;
comment on function private.record_stripe_event(jsonb) is
  'Notes an event {id, type, created}; false where its effect has committed before. True where there is none to note.';

-- subscriptions/functions/refuse_paying_customer.sql

-- Nobody may go on paying for an account that is gone: it cannot be deleted before Stripe has let go of the person, and
-- whoever subscribes in the meantime stops the deletion.
create or replace function private.refuse_paying_customer()
returns trigger
language plpgsql set search_path = ''
as $$
begin
  if old.stripe_customer_id is not null then
    raise sqlstate 'PT409' using message = 'SUBSCRIPTION_RUNNING';
  end if;
  return old;
end
$$;
comment on function private.refuse_paying_customer() is
  'Trigger: keeps the row of a person Stripe still knows, and with it the account.';

-- tracker/functions/track_usage.sql

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
           c.user_id is not null as known, c.prompts, c.tokens, b.period,
           k.request_hash as earlier_hash, k.answer as earlier_answer
      from rows from (
        jsonb_to_recordset(p_items) as (user_id uuid, usage integer, token_count bigint, key text)
      ) with ordinality as i(user_id, usage, token_count, key, ord)
      left join public.tracker_counters c on c.user_id = i.user_id
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
    v_answer := case when not v_item.known then '{"code": "USER_NOT_FOUND"}'::jsonb end;

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

-- tracker/functions/tracker_user.sql

create or replace function public.tracker_user(p_email text)
returns uuid
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: reads every account, which no API role may.
declare
  v_user uuid;
begin
  select u.id into v_user from public.users u where u.email = p_email;
  if v_user is null then
    raise sqlstate 'PT404' using message = 'USER_NOT_FOUND';
  end if;
  return v_user;
end
$$;
grant execute on function public.tracker_user(text) to service_role;
comment on function public.tracker_user(text) is
  'Returns the account with this address, in lower case, for whom a tracker token is made; raises USER_NOT_FOUND.';

-- usage/functions/account_subjects.sql

create or replace function private.account_subjects(p_user_id uuid)
returns uuid[]
language sql stable set search_path = ''
as $$
  select case when p_user_id is not null then
    array[p_user_id] || array(select d.id from public.devices d where d.user_id = p_user_id)
  end
$$;
comment on function private.account_subjects(uuid) is 'Returns an account and its devices; null, for everybody, where no account is named.';

-- usage/functions/day_start.sql

create or replace function public.day_start(p_day date, p_time_zone text)
returns timestamptz
language sql stable set search_path = ''
as $$
  -- Where clocks are set back over midnight the day begins at the first of two midnights; Postgres names the second.
  select min(m.moment)
    from (
      select (p_day::timestamp at time zone p_time_zone) - n * interval '15 minutes' as moment
        from generate_series(0, 8) n
    ) m
   where m.moment at time zone p_time_zone >= p_day::timestamp
$$;
grant execute on function public.day_start(date, text) to authenticated;
comment on function public.day_start(date, text) is 'Returns the first moment of a day in a time zone, to the quarter hour.';

-- usage/functions/delete_usage.sql

create or replace function public.delete_usage(p_caller jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: events are append-only for every API role.
declare
  v_user_id uuid := private.require_user(p_caller);
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

-- usage/functions/export_usage_events.sql

create or replace function public.export_usage_events(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  -- What counts against the person, and what devices recorded in their name. What a device did before it was linked may
  -- be somebody else's.
  return (
    select coalesce(jsonb_agg(to_jsonb(page) - 'subject_id' - 'user_id' order by page.occurred_at, page.id), '[]')
      from (
        (
          select e.* from public.usage_events e
           where e.subject_id = v_user_id
             and e.occurred_at >= p_after_at and (e.occurred_at, e.id) > (p_after_at, p_after_id)
           order by e.occurred_at, e.id
           limit p_limit
        )
        union all
        (
          select e.* from public.usage_events e
           where e.user_id = v_user_id and e.user_id is distinct from e.subject_id
             and e.occurred_at >= p_after_at and (e.occurred_at, e.id) > (p_after_at, p_after_id)
           order by e.occurred_at, e.id
           limit p_limit
        )
        order by occurred_at, id
        limit p_limit
      ) page
  );
end
$$;
grant execute on function public.export_usage_events(integer, timestamptz, uuid) to authenticated;
comment on function public.export_usage_events(integer, timestamptz, uuid) is
  'Returns the usage events recorded for the caller, oldest first; after (time, id) to page on.';

-- usage/functions/list_all_usage.sql

create or replace function public.list_all_usage(
  p_actor jsonb, p_limit integer, p_from text, p_to text, p_time_zone text, p_filter jsonb default '{}',
  p_before_at text default null, p_before_id uuid default null, p_user_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: an admin may ask about everybody, which no API role may.
begin
  perform private.require_admin(p_actor);
  return public.list_usage(
    p_limit, p_from, p_to, p_time_zone, p_filter, p_before_at, p_before_id, private.account_subjects(p_user_id)
  );
end
$$;
grant execute on function public.list_all_usage(jsonb, integer, text, text, text, jsonb, text, uuid, uuid) to service_role;
comment on function public.list_all_usage(jsonb, integer, text, text, text, jsonb, text, uuid, uuid) is
  'Runs list_usage for an admin: of everybody, or of one account with its devices.';

-- usage/functions/list_usage.sql

create or replace function public.list_usage(
  p_limit integer, p_from text, p_to text, p_time_zone text, p_filter jsonb default '{}',
  p_before_at text default null, p_before_id uuid default null, p_subjects uuid[] default public.own_subjects()
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
declare
  v_range record;
  v_subjects uuid[] := case
    when p_filter ? 'device' and (p_filter ->> 'device')::uuid = any (p_subjects) is not false
      then array[(p_filter ->> 'device')::uuid]
    when p_filter ? 'device' then '{}'
    else coalesce(p_subjects, array[null::uuid])
  end;
begin
  select * into v_range from public.usage_range(p_from, p_to, p_time_zone);
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.occurred_at desc, page.id desc), '[]')
      from (
        select e.id, e.user_id, e.device_id, e.provider, e.model, e.source, e.prompt_count as prompts, e.input_tokens,
               e.output_tokens, e.total_tokens, e.cost, e.provenance, e.url, e.occurred_at, e.created_at
          from unnest(v_subjects) s(subject_id)
         -- Each subject's newest, by the index; the newest of all are among them.
         cross join lateral public.usage_page(
           s.subject_id, p_limit, v_range.range_from, v_range.range_to, p_filter, p_before_at::timestamptz, p_before_id
         ) e
         order by e.occurred_at desc, e.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.list_usage(integer, text, text, text, jsonb, text, uuid, uuid[]) to authenticated;
comment on function public.list_usage(integer, text, text, text, jsonb, text, uuid, uuid[]) is
  'Returns usage events of the caller and their devices in a range, newest first, filtered by any of provider, model, source, device; before (time, id) to page on.';

-- usage/functions/plain_url.sql

-- A page's address without what may be secret in it: name and password, query, fragment. Browsers take a backslash for
-- a slash, and any number of them after the scheme.
create or replace function private.plain_url(p_url text)
returns text
language sql immutable set search_path = ''
as $$
  select nullif(
    regexp_replace(
      regexp_replace(p_url, '[?#].*$', ''), '^(\s*(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?[/\\]*)[^/\\]*@', '\1'
    ), ''
  )
$$;
comment on function private.plain_url(text) is 'Returns an address without user name, password, query and fragment; null for none.';

-- usage/functions/record_usage.sql

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
    select i.*, c.live, b.period, k.request_hash as earlier_hash, k.answer as earlier_answer,
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
        select private.is_credential_valid(i.user_id, i.session_id, i.api_key_id) as live
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
      when not v_item.live then 'INVALID_TOKEN'
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

-- usage/functions/summarize_all_usage.sql

create or replace function public.summarize_all_usage(
  p_actor jsonb, p_from text, p_to text, p_time_zone text, p_group_by text[], p_user_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: an admin may ask about everybody, which no API role may.
begin
  perform private.require_admin(p_actor);
  return public.summarize_usage(p_from, p_to, p_time_zone, p_group_by, private.account_subjects(p_user_id));
end
$$;
grant execute on function public.summarize_all_usage(jsonb, text, text, text, text[], uuid) to service_role;
comment on function public.summarize_all_usage(jsonb, text, text, text, text[], uuid) is
  'Runs summarize_usage for an admin: of everybody, or of one account with its devices.';

-- usage/functions/summarize_usage.sql

create or replace function public.summarize_usage(
  p_from text, p_to text, p_time_zone text, p_group_by text[], p_subjects uuid[] default public.own_subjects()
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC' set plan_cache_mode = 'force_custom_plan'
  -- The planner takes every quarter hour for a group of its own and would sort them all on disk.
  set work_mem = '32MB'
as $$
declare
  v_range record;
  v_unit text := (select g from unnest(p_group_by) g where g in ('day', 'week', 'month') limit 1);
  v_periods date[];
  v_starts timestamptz[];
  v_answer jsonb;
begin
  select * into v_range from public.usage_range(p_from, p_to, p_time_zone);
  if v_unit is not null then
    select array_agg(p.day::date order by p.day), array_agg(public.day_start(p.day::date, p_time_zone) order by p.day)
      into v_periods, v_starts
      from generate_series(
        date_trunc(v_unit, v_range.range_from at time zone p_time_zone),
        (v_range.range_to - interval '1 microsecond') at time zone p_time_zone,
        ('1 ' || v_unit)::interval
      ) as p(day);
  end if;

  with sums as materialized (
    -- The rollups are read once, by the key they are kept under.
    select width_bucket(r.bucket, v_starts) as period,
           case when 'provider' = any (p_group_by) then r.provider end as provider,
           case when 'model' = any (p_group_by) then r.model end as model,
           case when 'source' = any (p_group_by) then r.source end as source,
           case when p_group_by && '{device,user}' then r.subject_id end as subject_id,
           sum(r.events) as events, sum(r.prompts) as prompts, sum(r.input_tokens) as input_tokens,
           sum(r.output_tokens) as output_tokens, sum(r.total_tokens) as total_tokens, sum(r.cost) as cost
      from public.usage_rollups r
     where (p_subjects is null or r.subject_id = any (p_subjects))
       and r.bucket >= v_range.range_from and r.bucket < v_range.range_to
     group by 1, 2, 3, 4, 5
  ),
  cells as materialized (
    select coalesce(s.period, 0) as period,
           jsonb_build_array(
             s.provider, s.model, s.source,
             case when 'device' = any (p_group_by) then d.id end,
             case when 'user' = any (p_group_by) then coalesce(d.user_id, case when d.id is null then s.subject_id end) end
           ) as names,
           sum(s.events) as events, sum(s.prompts) as prompts, sum(s.input_tokens) as input_tokens,
           sum(s.output_tokens) as output_tokens, sum(s.total_tokens) as total_tokens, sum(s.cost) as cost
      from sums s left join public.devices d on d.id = s.subject_id
     group by 1, 2
  ),
  periods as materialized (
    select coalesce(p.period, 0) as period, p.day
      from (select 1) one left join unnest(v_periods) with ordinality as p(day, period) on true
  ),
  groups as materialized (
    select distinct c.names from cells c
    union
    -- Without names to group by, days without use are days, too.
    select jsonb_build_array(null, null, null, null, null)
     where not p_group_by && '{provider,model,source,device,user}'
  ),
  size as materialized (
    select (select count(*) from periods) * (select count(*) from groups) as rows
  ),
  series as (
    select case when v_unit is not null then jsonb_build_object(v_unit, p.day) else '{}' end
             || coalesce((
               select jsonb_object_agg(n.name, g.names -> (n.position::integer - 1))
                 from unnest(array['provider', 'model', 'source', 'device', 'user']) with ordinality as n(name, position)
                where n.name = any (p_group_by)
             ), '{}')
             || jsonb_build_object(
               'events', coalesce(c.events, 0), 'prompts', coalesce(c.prompts, 0),
               'input_tokens', coalesce(c.input_tokens, 0), 'output_tokens', coalesce(c.output_tokens, 0),
               'total_tokens', coalesce(c.total_tokens, 0), 'cost', coalesce(c.cost, 0)
             ) as item,
           p.period, g.names
      from periods p
     cross join groups g
      left join cells c on c.period = p.period and c.names = g.names
     where cardinality(p_group_by) > 0 and (select rows from size) <= 10000
  )
  select jsonb_build_object(
    'from', v_range.range_from, 'to', v_range.range_to, 'time_zone', p_time_zone,
    'rows', (select rows from size),
    'totals', (
      select jsonb_build_object(
        'events', coalesce(sum(c.events), 0), 'prompts', coalesce(sum(c.prompts), 0),
        'input_tokens', coalesce(sum(c.input_tokens), 0), 'output_tokens', coalesce(sum(c.output_tokens), 0),
        'total_tokens', coalesce(sum(c.total_tokens), 0), 'cost', coalesce(sum(c.cost), 0)
      ) from cells c
    ),
    'series', (select coalesce(jsonb_agg(s.item order by s.period, s.names), '[]') from series s)
  ) into v_answer;

  if (v_answer ->> 'rows')::bigint > 10000 then
    raise sqlstate 'PT400' using message = 'SUMMARY_TOO_LARGE';
  end if;
  return v_answer - 'rows';
end
$$;
grant execute on function public.summarize_usage(text, text, text, text[], uuid[]) to authenticated;
comment on function public.summarize_usage(text, text, text, text[], uuid[]) is
  'Returns usage of the caller and their devices in a range, from the rollups: {from, to, time_zone, totals, series}, grouped by any of day, week, month (one of them), provider, model, source, device, user; periods without use are there with zeros. Raises RANGE_NOT_VALID, SUMMARY_TOO_LARGE beyond 10,000 rows.';

-- usage/functions/take_out_usage.sql

create or replace function private.take_out_usage(p_event public.usage_events)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_bucket timestamptz := date_bin('15 minutes', p_event.occurred_at, 'epoch');
  v_left public.usage_totals;
begin
  update public.usage_rollups r
     set events = r.events - 1, prompts = r.prompts - p_event.prompt_count,
         input_tokens = r.input_tokens - p_event.input_tokens, output_tokens = r.output_tokens - p_event.output_tokens,
         total_tokens = r.total_tokens - p_event.total_tokens, cost = r.cost - p_event.cost
   where r.subject_id = p_event.subject_id and r.bucket = v_bucket and r.provider = p_event.provider
     and r.model = p_event.model and r.source = p_event.source;
  delete from public.usage_rollups r
   where r.subject_id = p_event.subject_id and r.bucket = v_bucket and r.provider = p_event.provider
     and r.model = p_event.model and r.source = p_event.source and r.events = 0;
  -- The event may have been counted in any shard, so the bucket's shards become one. One deletion at a time: the next
  -- one must see the shard this one leaves.
  perform pg_advisory_xact_lock(hashtextextended('public.usage_totals', extract(epoch from v_bucket)::bigint));
  with gone as (
    delete from public.usage_totals where bucket = v_bucket returning *
  )
  select v_bucket, 0, sum(g.events) - 1, sum(g.prompts) - p_event.prompt_count,
         sum(g.input_tokens) - p_event.input_tokens, sum(g.output_tokens) - p_event.output_tokens,
         sum(g.total_tokens) - p_event.total_tokens, sum(g.cost) - p_event.cost
    into v_left
    from gone g;
  insert into public.usage_totals as t select v_left.* where v_left.events > 0
  on conflict (bucket, shard) do update
    set events = t.events + excluded.events, prompts = t.prompts + excluded.prompts,
        input_tokens = t.input_tokens + excluded.input_tokens, output_tokens = t.output_tokens + excluded.output_tokens,
        total_tokens = t.total_tokens + excluded.total_tokens, cost = t.cost + excluded.cost;
end
$$;
comment on function private.take_out_usage(public.usage_events) is 'Takes one event out of its rollup and the totals; empty ones go.';

-- usage/functions/usage_event_id.sql

-- An observed event is told from others by what it says, so that the same one sent twice has the same id. The id begins
-- with its time (RFC 9562, version 8), so that it says where the event is kept.
create or replace function private.usage_event_id(p_user_id uuid, p_timestamp_ms bigint, p_content jsonb)
returns uuid
language sql immutable set search_path = ''
as $$
  select (
    lpad(to_hex(p_timestamp_ms), 12, '0') || '8' || substr(h.hex, 1, 3) || '8' || substr(h.hex, 4, 15)
  )::uuid
    from (
      select encode(sha256(convert_to(p_user_id || p_content::text, 'UTF8')), 'hex') as hex
    ) h
$$;
comment on function private.usage_event_id(uuid, bigint, jsonb) is
  'Returns the id of an observed event: 48 bits of its time in milliseconds, then 72 bits of the SHA-256 of its user and content.';

-- usage/functions/usage_event_time.sql

create or replace function private.usage_event_time(p_id uuid)
returns timestamptz
language sql immutable set search_path = ''
as $$
  select timestamptz 'epoch'
    + ('x' || left(replace(p_id::text, '-', ''), 12))::bit(48)::bigint * interval '1 millisecond'
$$;
comment on function private.usage_event_time(uuid) is 'Returns when an observed event happened, by its id.';

-- usage/functions/usage_horizon.sql

-- Where retention begins to drop: nothing older is taken in. Nor is anything for a month that was dropped once, though
-- retention may have been made longer since: its rollups stayed, and could not be proved from the events any more.
create or replace function private.usage_horizon(p_retention_months integer)
returns timestamptz
language sql stable set search_path = ''
as $$
  select greatest(
           (date_trunc('month', now() at time zone 'UTC') - make_interval(months => p_retention_months))
             at time zone 'UTC',
           (date_trunc('month', dropped.latest at time zone 'UTC') + interval '1 month') at time zone 'UTC'
         )
    from (
      select max(t.bucket) as latest from public.usage_totals t
       where t.bucket < (select min(p.lower_bound) from private.usage_partitions() p)
    ) dropped
$$;
comment on function private.usage_horizon(integer) is
  'Returns the start of the oldest month that events are taken in for: what is kept, and was never dropped.';

-- usage/functions/usage_page.sql

create or replace function public.usage_page(
  p_subject_id uuid, p_limit integer, p_from timestamptz, p_to timestamptz, p_filter jsonb,
  p_before_at timestamptz, p_before_id uuid
)
returns setof public.usage_events
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
begin
  return query
    select u.* from public.usage_events u
     where (p_subject_id is null or u.subject_id = p_subject_id)
       and u.occurred_at >= p_from and u.occurred_at < p_to
       -- The first of the two leaves out whole months, the second one begins at the place itself.
       and u.occurred_at <= coalesce(p_before_at, 'infinity')
       and (p_before_id is null or (u.occurred_at, u.id) < (p_before_at, p_before_id))
       and (p_filter ->> 'provider' is null or u.provider = p_filter ->> 'provider')
       and (p_filter ->> 'model' is null or u.model = lower(btrim(p_filter ->> 'model')))
       and (p_filter ->> 'source' is null or u.source = p_filter ->> 'source')
       and (p_filter ->> 'device' is null or u.device_id = (p_filter ->> 'device')::uuid)
     order by u.occurred_at desc, u.id desc
     limit p_limit;
end
$$;
grant execute on function public.usage_page(uuid, integer, timestamptz, timestamptz, jsonb, timestamptz, uuid) to authenticated;
comment on function public.usage_page(uuid, integer, timestamptz, timestamptz, jsonb, timestamptz, uuid) is
  'Returns the newest events of one subject, or of everybody the caller may see, before a place.';

-- usage/functions/usage_range.sql

create or replace function public.usage_range(
  p_from text, p_to text, p_time_zone text, out range_from timestamptz, out range_to timestamptz
)
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
begin
  -- A date is the whole day where the person is; a time is a moment.
  range_from := case
    when p_from ~ '^\d{4}-\d{2}-\d{2}$' then public.day_start(p_from::date, p_time_zone)
    else p_from::timestamptz
  end;
  range_to := case
    when p_to ~ '^\d{4}-\d{2}-\d{2}$' then public.day_start(p_to::date + 1, p_time_zone)
    else p_to::timestamptz
  end;
  if (
    range_to > range_from and range_to <= range_from + interval '1100 days'
    and date_bin('15 minutes', range_from, 'epoch') = range_from
    and date_bin('15 minutes', range_to, 'epoch') = range_to
  ) is not true then
    raise sqlstate 'PT400' using message = 'RANGE_NOT_VALID';
  end if;
exception
  -- Not a date, a time or a time zone, or out of bounds.
  when data_exception then
    raise sqlstate 'PT400' using message = 'RANGE_NOT_VALID';
end
$$;
grant execute on function public.usage_range(text, text, text) to authenticated;
comment on function public.usage_range(text, text, text) is
  'Reads a range: dates in a time zone, the last one included, or times on whole quarter hours; at most 1,100 days. Raises RANGE_NOT_VALID.';

-- users/functions/begin_password_change.sql

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
grant execute on function public.begin_password_change(jsonb) to service_role;
comment on function public.begin_password_change(jsonb) is
  'Counts an attempt before any hashing. Returns {allowed, retry_after} or {allowed, password_hash}, null for an account without a password.';

-- users/functions/change_password.sql

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
grant execute on function public.change_password(jsonb, text, text) to service_role;
comment on function public.change_password(jsonb, text, text) is
  'Sets the password where it still is the verified one, or the first one where none was verified, and ends every other session and mailed links. Returns {ended}; raises INVALID_CREDENTIALS.';

-- users/functions/delete_account.sql

create or replace function public.delete_account(p_caller jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: removes what no API role may write.
declare
  v_user_id uuid := (p_caller ->> 'id')::uuid;
  v_name text := 'user:' || v_user_id;
  v_email text;
  v_returned bigint;
begin
  -- Whatever adds a row to the account waits for this and then finds nobody; and this waits for whoever takes the
  -- account over, before it checks the caller's session.
  select u.email into v_email from public.users u where u.id = v_user_id for update;
  perform private.require_user(p_caller);

  -- A debit under way holds its device's balance: none records the person after their name was taken out.
  perform from public.balances b
    where b.subject_id in (select d.id from public.devices d where d.user_id = v_user_id)
    order by b.subject_id for update;
  update public.devices set user_id = null where user_id = v_user_id;
  update public.usage_events set user_id = null, url = null
   where user_id = v_user_id and user_id is distinct from subject_id;
  update public.usage_events set url = null where subject_id = v_user_id and url is not null;

  -- Only now, as everybody who registers waits for the pool.
  v_returned := private.close_balance(v_user_id, v_name);

  delete from private.idempotency_keys where subject_id = v_user_id;
  delete from private.known_addresses where account = v_name;
  delete from private.password_resets where email = v_email;
  delete from private.login_attempts where key in (v_user_id::text, v_email) or starts_with(key, v_user_id || ' ');
  -- Credentials, sessions, keys, identities and all else that is secret or personal references this row and is deleted with it.
  -- What another capability keeps elsewhere is removed here; a subscription is cancelled with its provider before.
  delete from public.users where id = v_user_id;
  -- Without the request id, which is the caller's own word: nothing personal may get into the audit log.
  perform private.audit(v_name, null, 'delete_account', v_name, null, jsonb_build_object('returned', v_returned));
  return jsonb_build_object('deleted', true);
end
$$;
grant execute on function public.delete_account(jsonb) to service_role;
comment on function public.delete_account(jsonb) is
  'Removes the caller''s account with everything personal; its anonymous usage and ledger stay, its unused tokens return to the pool. Returns {deleted}.';

-- users/functions/export_account.sql

create or replace function public.export_account(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read sessions, keys and identities. Columns are named one by one, so that no secret
-- that is added to a table gets out here.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return jsonb_build_object(
    'profile', (select private.profile_json(u) from public.users u where u.id = v_user_id),
    'identities', (
      select coalesce(jsonb_agg(to_jsonb(row) order by row.created_at, row.provider), '[]')
        from (
          select i.provider, i.subject, i.email, i.created_at, i.last_used_at
            from private.external_identities i where i.user_id = v_user_id
        ) row
    ),
    'sessions', (
      select coalesce(jsonb_agg(to_jsonb(row) order by row.created_at, row.id), '[]')
        from (
          select s.id, s.created_at, s.last_used_at, s.expires_at, s.user_agent, s.address
            from private.sessions s where s.user_id = v_user_id
        ) row
    ),
    'api_keys', (
      select coalesce(jsonb_agg(private.api_key_json(k) order by k.created_at, k.id), '[]')
        from private.api_keys k where k.user_id = v_user_id
    ),
    'tracker', (
      select to_jsonb(c) - 'user_id' from public.tracker_counters c where c.user_id = v_user_id
    ),
    'known_addresses', (
      select coalesce(jsonb_agg(to_jsonb(row) order by row.last_login_at, row.address), '[]')
        from (
          select a.address, a.last_login_at from private.known_addresses a where a.account = 'user:' || v_user_id
        ) row
    )
  );
end
$$;
grant execute on function public.export_account(jsonb) to service_role;
comment on function public.export_account(jsonb) is
  'Returns what is held about the caller in few rows: profile, identities, sessions, API keys, tracker counters, addresses logged in from.';

-- users/functions/get_profile.sql

create or replace function public.get_profile(p_caller jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: no API role may read whether there is a password, or with which providers the account signs in.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  return (select private.profile_json(u) from public.users u where u.id = v_user_id);
end
$$;
grant execute on function public.get_profile(jsonb) to service_role;
comment on function public.get_profile(jsonb) is 'Returns the caller''s profile.';

-- users/functions/my_devices.sql

create or replace function public.my_devices(p_limit integer, p_after_at text default null, p_after_id uuid default null)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at desc, page.id desc), '[]')
      from (
        select d.id, d.name, d.blocked, d.registrations, d.last_registered_at, d.created_at,
               b.allocated, b.used, b.allocated - b.used - b.reserved as remaining
          from public.devices d join public.balances b on b.subject_id = d.id
         where d.user_id = v_user_id and d.deleted_at is null
           and (p_after_id is null or (d.created_at, d.id) < (p_after_at::timestamptz, p_after_id))
         order by d.created_at desc, d.id desc
         limit p_limit
      ) page
  );
exception
  -- The cursor comes from the caller.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
grant execute on function public.my_devices(integer, text, uuid) to authenticated;
comment on function public.my_devices(integer, text, uuid) is
  'Returns the devices linked to the caller with their balances, newest first; after (time, id) to page on.';

-- users/functions/profile_json.sql

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
comment on function private.profile_json(public.users) is 'Returns an account as its owner sees it: with its balance and the ways to sign in.';

-- users/functions/unlink_device.sql

create or replace function public.unlink_device(p_caller jsonb, p_device_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes devices, which no API role may.
declare
  v_user_id uuid := private.require_user(p_caller);
begin
  -- Waits for debits under way, so that none records the person after this was answered.
  perform from public.balances b where b.subject_id = p_device_id for update;
  update public.devices set user_id = null
   where id = p_device_id and user_id = v_user_id and deleted_at is null;
  if not found then
    raise sqlstate 'PT404' using message = 'DEVICE_NOT_FOUND';
  end if;
  return jsonb_build_object('device_id', p_device_id, 'unlinked', true);
end
$$;
grant execute on function public.unlink_device(jsonb, uuid) to service_role;
comment on function public.unlink_device(jsonb, uuid) is
  'Takes a device off the caller''s account; it keeps its balance and its tokens. Returns {device_id, unlinked}; raises DEVICE_NOT_FOUND.';

-- users/functions/update_profile.sql

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
grant execute on function public.update_profile(jsonb, jsonb) to service_role;
comment on function public.update_profile(jsonb, jsonb) is
  'Changes name and picture where {name, picture} has them, null to clear. Returns the profile.';

-- admin/views.sql

-- What admins look at in Supabase Studio. Invoker's rights and no grants: these are for the dashboard's own role.

create or replace view public.device_overview with (security_invoker = true) as
  select d.id, d.name, u.email as user_email, b.allocated, b.used, b.reserved,
         b.allocated - b.used - b.reserved as remaining, d.blocked, d.registrations, d.last_registered_at, d.created_at
    from public.devices d
    join public.balances b on b.subject_id = d.id
    left join public.users u on u.id = d.user_id
   where d.deleted_at is null;
comment on view public.device_overview is 'Devices with their balance and the account they are linked to.';
comment on column public.device_overview.id is 'The device''s id.';
comment on column public.device_overview.name is 'Its name.';
comment on column public.device_overview.user_email is 'The account it is linked to.';
comment on column public.device_overview.allocated is 'Tokens granted.';
comment on column public.device_overview.used is 'Tokens used in this period.';
comment on column public.device_overview.reserved is 'Tokens held.';
comment on column public.device_overview.remaining is 'Tokens left.';
comment on column public.device_overview.blocked is 'Whether it is blocked.';
comment on column public.device_overview.registrations is 'How often it registered.';
comment on column public.device_overview.last_registered_at is 'When it registered last.';
comment on column public.device_overview.created_at is 'When it registered first.';

create or replace view public.user_overview with (security_invoker = true) as
  select u.id, u.email, u.name, b.allocated, b.used, b.reserved, b.allocated - b.used - b.reserved as remaining,
         (select count(*) from public.devices d where d.user_id = u.id and d.deleted_at is null) as devices, u.created_at
    from public.users u
    left join public.balances b on b.subject_id = u.id;
comment on view public.user_overview is 'Accounts with their balance and number of devices.';
comment on column public.user_overview.id is 'The account''s id.';
comment on column public.user_overview.email is 'Its e-mail address.';
comment on column public.user_overview.name is 'Its name.';
comment on column public.user_overview.allocated is 'Tokens granted.';
comment on column public.user_overview.used is 'Tokens used.';
comment on column public.user_overview.reserved is 'Tokens held.';
comment on column public.user_overview.remaining is 'Tokens left.';
comment on column public.user_overview.devices is 'Devices linked to it.';
comment on column public.user_overview.created_at is 'When it was created.';

create or replace view public.usage_by_day with (security_invoker = true) as
  select (bucket at time zone 'UTC')::date as day, sum(events) as events, sum(prompts) as prompts,
         sum(total_tokens) as total_tokens, sum(cost) as cost
    from public.usage_totals
   group by 1;
comment on view public.usage_by_day is 'Usage of everybody per day (UTC).';
comment on column public.usage_by_day.day is 'The day (UTC).';
comment on column public.usage_by_day.events is 'Number of events.';
comment on column public.usage_by_day.prompts is 'Sum of prompts.';
comment on column public.usage_by_day.total_tokens is 'Sum of language-model tokens.';
comment on column public.usage_by_day.cost is 'Sum of what was debited.';

create or replace view public.usage_by_model with (security_invoker = true) as
  select date_trunc('month', bucket, 'UTC')::date as month, provider, model, source,
         sum(events) as events, sum(prompts) as prompts, sum(total_tokens) as total_tokens, sum(cost) as cost
    from public.usage_rollups
   group by 1, 2, 3, 4;
comment on view public.usage_by_model is 'Usage of everybody per month, provider, model and source.';
comment on column public.usage_by_model.month is 'First day of the month (UTC).';
comment on column public.usage_by_model.provider is 'The AI provider.';
comment on column public.usage_by_model.model is 'The model.';
comment on column public.usage_by_model.source is 'Which API recorded the events.';
comment on column public.usage_by_model.events is 'Number of events.';
comment on column public.usage_by_model.prompts is 'Sum of prompts.';
comment on column public.usage_by_model.total_tokens is 'Sum of language-model tokens.';
comment on column public.usage_by_model.cost is 'Sum of what was debited.';

-- admin/triggers.sql

create or replace trigger audit_log_append_only
  before update or delete or truncate on public.audit_log
  for each statement execute function private.refuse_change();

-- devices/triggers.sql

create or replace trigger devices_first_user
  before insert or update of user_id on public.devices
  for each row execute function private.keep_first_user();

-- ledger/triggers.sql

create or replace trigger ledger_entries_append_only
  before update or delete or truncate on public.ledger_entries
  for each statement execute function private.refuse_change();

create or replace trigger balances_pay_debt
  before update on public.balances
  for each row when (new.debt > 0) execute function private.pay_debt();

-- subscriptions/triggers.sql

create or replace trigger subscriptions_keep_customers
  before delete on public.subscriptions
  for each row execute function private.refuse_paying_customer();

-- accounts/policies.sql

alter table public.users enable row level security;
grant select on table public.users to authenticated;
drop policy if exists users_read_own on public.users;
create policy users_read_own on public.users
  for select to authenticated
  using (id = (select public.current_user_id()));

-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.user_credentials enable row level security;

-- admin/policies.sql

-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.admins enable row level security;
alter table public.audit_log enable row level security;

-- api_keys/policies.sql

-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.api_keys enable row level security;

-- budget/policies.sql

-- No policy and no grant: only functions with their definer's rights reach these.
alter table public.budgets enable row level security;

-- chat/policies.sql

alter table public.generations enable row level security;
grant select on table public.generations to authenticated;
drop policy if exists generations_read_own on public.generations;
create policy generations_read_own on public.generations
  for select to authenticated
  using (subject_id = (select public.current_user_id()));

-- devices/policies.sql

alter table public.devices enable row level security;
-- A device an admin has removed is not listed, so whether it was must be readable.
grant select (id, user_id, name, blocked, registrations, last_registered_at, created_at, deleted_at)
  on table public.devices to authenticated;
drop policy if exists devices_read_own on public.devices;
create policy devices_read_own on public.devices
  for select to authenticated
  using (
    id = (select (auth.jwt() ->> 'device_id')::uuid)
    or user_id = (select public.current_user_id())
  );

-- events/policies.sql

alter table public.feature_events enable row level security;
grant select on table public.feature_events to authenticated;
drop policy if exists feature_events_read_own on public.feature_events;
create policy feature_events_read_own on public.feature_events
  for select to authenticated
  using (user_id = (select public.current_user_id()));

alter table public.feature_rollups enable row level security;
grant select on table public.feature_rollups to authenticated;
drop policy if exists feature_rollups_read_own on public.feature_rollups;
create policy feature_rollups_read_own on public.feature_rollups
  for select to authenticated
  using (user_id = (select public.current_user_id()));

-- foundation/policies.sql

-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.migration_checksums enable row level security;

-- ledger/policies.sql

alter table public.balances enable row level security;
grant select on table public.balances to authenticated;
drop policy if exists balances_read_own on public.balances;
create policy balances_read_own on public.balances
  for select to authenticated
  using (
    subject_id = (select (auth.jwt() ->> 'device_id')::uuid)
    or subject_id = (select public.current_user_id())
    or subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
  );

alter table public.ledger_entries enable row level security;
grant select on table public.ledger_entries to authenticated;
drop policy if exists ledger_entries_read_own on public.ledger_entries;
create policy ledger_entries_read_own on public.ledger_entries
  for select to authenticated
  using (
    subject_id = (select (auth.jwt() ->> 'device_id')::uuid)
    or subject_id = (select public.current_user_id())
    or subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
  );

-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.retired_usage enable row level security;

-- metering/policies.sql

alter table public.usage_events enable row level security;
grant select on table public.usage_events to authenticated;
-- An event a device recorded in somebody's name is theirs: also once the device is no longer linked to them, and never
-- the next owner's.
drop policy if exists usage_events_read_own on public.usage_events;
create policy usage_events_read_own on public.usage_events
  for select to authenticated
  using (
    subject_id = (select (auth.jwt() ->> 'device_id')::uuid)
    or subject_id = (select public.current_user_id())
    or user_id = (select public.current_user_id())
    or (
      user_id is null
      and subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
    )
  );

alter table public.usage_rollups enable row level security;
grant select on table public.usage_rollups to authenticated;
drop policy if exists usage_rollups_read_own on public.usage_rollups;
create policy usage_rollups_read_own on public.usage_rollups
  for select to authenticated
  using (
    subject_id = (select (auth.jwt() ->> 'device_id')::uuid)
    or subject_id = (select public.current_user_id())
    or subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
  );

alter table public.reservations enable row level security;
grant select on table public.reservations to authenticated;
drop policy if exists reservations_read_own on public.reservations;
create policy reservations_read_own on public.reservations
  for select to authenticated
  using (
    subject_id = (select (auth.jwt() ->> 'device_id')::uuid)
    or subject_id = (select public.current_user_id())
    or subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
  );

-- No policy and no grant: only functions with their definer's rights reach these.
alter table public.usage_totals enable row level security;
alter table public.model_costs enable row level security;
alter table private.idempotency_keys enable row level security;

-- oauth/policies.sql

-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.external_identities enable row level security;
alter table private.oauth_flows enable row level security;
alter table private.oauth_codes enable row level security;

-- password_reset/policies.sql

-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.password_resets enable row level security;

-- periods/policies.sql

-- No policy and no grant: only functions with their definer's rights reach these.
alter table public.periods enable row level security;
alter table public.period_balances enable row level security;

-- sessions/policies.sql

-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.sessions enable row level security;
alter table private.refresh_tokens enable row level security;
alter table private.login_attempts enable row level security;
alter table private.known_addresses enable row level security;

-- settings/policies.sql

alter table public.settings enable row level security;
grant select on table public.settings to authenticated;
drop policy if exists settings_read_own on public.settings;
create policy settings_read_own on public.settings
  for select to authenticated
  using (user_id = (select public.current_user_id()));

alter table public.settings_entries enable row level security;
grant select on table public.settings_entries to authenticated;
drop policy if exists settings_entries_read_own on public.settings_entries;
create policy settings_entries_read_own on public.settings_entries
  for select to authenticated
  using (user_id = (select public.current_user_id()));

alter table public.settings_versions enable row level security;
grant select on table public.settings_versions to authenticated;
drop policy if exists settings_versions_read_own on public.settings_versions;
create policy settings_versions_read_own on public.settings_versions
  for select to authenticated
  using (user_id = (select public.current_user_id()));

-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.future_changes enable row level security;

-- subscriptions/policies.sql

alter table public.subscriptions enable row level security;
grant select on table public.subscriptions to authenticated;
drop policy if exists subscriptions_read_own on public.subscriptions;
create policy subscriptions_read_own on public.subscriptions
  for select to authenticated
  using (user_id = (select public.current_user_id()));

alter table public.subscription_grants enable row level security;
grant select on table public.subscription_grants to authenticated;
drop policy if exists subscription_grants_read_own on public.subscription_grants;
create policy subscription_grants_read_own on public.subscription_grants
  for select to authenticated
  using (user_id = (select public.current_user_id()));

-- No policy and no grant: only functions with their definer's rights reach these.
alter table public.plans enable row level security;
alter table private.stripe_events enable row level security;
alter table private.stripe_syncs enable row level security;

-- tracker/policies.sql

alter table public.tracker_counters enable row level security;
grant select on table public.tracker_counters to authenticated;
drop policy if exists tracker_counters_read_own on public.tracker_counters;
create policy tracker_counters_read_own on public.tracker_counters
  for select to authenticated
  using (user_id = (select public.current_user_id()));

-- budget/data.sql

insert into public.budgets (subject_kind) values ('device'), ('user') on conflict (subject_kind) do nothing;

-- maintenance/data.sql

-- Where pg_cron is there, the database looks after itself even with no server running.
do $$
begin
  if exists (select from pg_catalog.pg_extension where extname = 'pg_cron') then
    execute $cron$select cron.schedule('tokenledger-maintain', '* * * * *', 'select public.maintain()')$cron$;
  end if;
end
$$;

-- metering/data.sql

insert into public.model_costs (model, cost) values ('*', 1), ('claude-opus-4.5', 3)
on conflict (model) do nothing;

select private.ensure_usage_partition(now() + make_interval(months => n)) from generate_series(-1, 3) as n;

-- periods/data.sql

insert into public.periods (number) values (1) on conflict (number) do nothing;

-- subscriptions/data.sql

-- Everybody starts with the tokens of a new account; free adds none each month.
insert into public.plans (tier, monthly_tokens, device_limit)
values ('free', 0, 10), ('pro', 5000000, 25), ('premium', 20000000, 100)
on conflict (tier) do nothing;

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127163509', '57b6e8685fa69520684ea1c8b6288c739fc496cdd9465c8f83da78b1bf179eba');
