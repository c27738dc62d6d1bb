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
