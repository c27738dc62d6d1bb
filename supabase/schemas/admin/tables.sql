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
