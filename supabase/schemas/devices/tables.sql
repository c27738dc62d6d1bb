-- The installations of an extension that hold a token balance.

create table if not exists public.devices (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references public.users (id) on delete set null,
  name text not null check (length(name) between 1 and 200),
  fingerprint_hash bytea check (length(fingerprint_hash) = 32),
  token_version integer not null default 1 check (token_version > 0),
  blocked boolean not null default false,
  registrations integer not null default 1 check (registrations > 0),
  last_registered_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  deleted_at timestamptz,
  first_user_id uuid,
  secret_hash bytea check (length(secret_hash) = 32),
  constraint devices_deleted_has_no_fingerprint check ((fingerprint_hash is null) = (deleted_at is not null)),
  constraint devices_linked_to_first_user check (user_id is null or user_id = first_user_id)
);
-- A fingerprint is a name and no secret: each person has one device of it, and those who prove nothing have one together.
create unique index if not exists devices_owner_fingerprint_idx on public.devices (fingerprint_hash, first_user_id)
  where first_user_id is not null;
create unique index if not exists devices_anonymous_fingerprint_idx on public.devices (fingerprint_hash, (secret_hash is null))
  where first_user_id is null;
create index if not exists devices_created_at_idx on public.devices (created_at, id) where deleted_at is null;
create index if not exists devices_blocked_idx on public.devices (created_at, id) where blocked and deleted_at is null;
create index if not exists devices_name_idx on public.devices (name, id) where deleted_at is null;
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
  'The account it was linked to first, kept when it is unlinked: it can be linked to no other. Null for a device that was nobody''s yet.';
comment on column public.devices.secret_hash is
  'SHA-256 of the device''s secret, if it registered with one: without it, its owner''s sign-in or an earlier token, nobody is given a token.';
