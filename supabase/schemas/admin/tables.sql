-- Who may run the budget, and the record of what they did.

create table if not exists private.admins (
  id uuid primary key default gen_random_uuid(),
  username text not null unique check (length(username) between 1 and 100),
  password_hash text not null check (password_hash like '$argon2id$%'),
  version integer not null default 1 check (version > 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  role text not null default 'owner' constraint admins_role_known check (role in ('viewer', 'operator', 'owner'))
);
comment on table private.admins is 'People who may use the admin API.';
comment on column private.admins.id is 'The admin''s id.';
comment on column private.admins.username is 'Name to log in with.';
comment on column private.admins.password_hash is 'argon2id hash of the password.';
comment on column private.admins.version is 'Tokens carry this number; a new password raises it and ends them all.';
comment on column private.admins.created_at is 'When the admin was created.';
comment on column private.admins.updated_at is 'When the password last changed.';
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

create table if not exists public.audit_log (
  id bigint generated always as identity primary key,
  actor text not null,
  action text not null,
  target text,
  before jsonb,
  after jsonb,
  request_id text,
  created_at timestamptz not null default now(),
  address text check (length(address) <= 100)
);
create index if not exists audit_log_target_idx on public.audit_log (target, id);
create index if not exists audit_log_actor_idx on public.audit_log (actor, id);
create index if not exists audit_log_action_idx on public.audit_log (action, id);
create index if not exists audit_log_time_idx on public.audit_log (created_at, id);
comment on table public.audit_log is 'Who did what, written in the same transaction as the act. Append-only, for everybody.';
comment on column public.audit_log.id is 'Counts up.';
comment on column public.audit_log.actor is 'admin:<name>, system:<what>, user:<id>, or sql:<role> for what was done by hand.';
comment on column public.audit_log.action is 'What was done: allocate, transfer, block_device, …';
comment on column public.audit_log.target is 'What it was done to: a device, user, admin or model.';
comment on column public.audit_log.before is 'State before, where it says something.';
comment on column public.audit_log.after is 'State after.';
comment on column public.audit_log.request_id is 'x-request-id of the request that asked for it.';
comment on column public.audit_log.created_at is 'When it was done.';
comment on column public.audit_log.address is 'Network address an admin''s request came from; null for everybody else, as this log can never be cleaned of what is personal.';

create table if not exists private.bulk_changes (
  id uuid primary key default gen_random_uuid(),
  subject_kind text not null check (subject_kind in ('device', 'user')),
  change jsonb not null,
  query text check (length(query) <= 200),
  filter text check (length(filter) <= 40),
  matched integer not null check (matched >= 0),
  created_by text not null,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  stopped_at timestamptz,
  run_as jsonb
);
create index if not exists bulk_changes_time_idx on private.bulk_changes (created_at);
create index if not exists bulk_changes_run_idx on private.bulk_changes (id) where run_as is not null;
comment on table private.bulk_changes is 'Changes of all devices or accounts that matched a search, done chunk by chunk; kept for 30 days.';
comment on column private.bulk_changes.id is 'The change''s id.';
comment on column private.bulk_changes.subject_kind is 'device or user.';
comment on column private.bulk_changes.change is 'What is done to each: {action, tokens, tier, api_keys}.';
comment on column private.bulk_changes.query is 'The text that was searched for, if one was.';
comment on column private.bulk_changes.filter is 'The filter of the list, if one was chosen.';
comment on column private.bulk_changes.matched is 'How many matched when it was begun: these, and no others, are changed.';
comment on column private.bulk_changes.created_by is 'The admin who began it.';
comment on column private.bulk_changes.created_at is 'When it was begun, as a preview.';
comment on column private.bulk_changes.started_at is 'When the first chunk was done; null for a preview.';
comment on column private.bulk_changes.stopped_at is 'When an admin gave up what was left of it.';
comment on column private.bulk_changes.run_as is 'The admin in whose name the server does what is left, as require_admin takes it, with a session of its own; null while it does not.';

create table if not exists private.bulk_chunks (
  change_id uuid not null references private.bulk_changes (id) on delete cascade,
  number integer not null check (number >= 0),
  ids uuid[] not null,
  outcome jsonb,
  primary key (change_id, number)
);
create index if not exists bulk_chunks_open_idx on private.bulk_chunks (change_id, number) where outcome is null;
comment on table private.bulk_chunks is 'What is changed in one transaction of a bulk change.';
comment on column private.bulk_chunks.change_id is 'The bulk change.';
comment on column private.bulk_chunks.number is 'Counts up from 0; ids of a chunk are above those of the one before.';
comment on column private.bulk_chunks.ids is 'The devices or accounts; none once it is done.';
comment on column private.bulk_chunks.outcome is 'Once it is done: {at, changed, skipped, refused: [{id, code}]}.';
