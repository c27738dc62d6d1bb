-- Which functions of an extension people use: counted, never metered.

create table if not exists public.feature_events (
  id uuid not null default gen_random_uuid(),
  user_id uuid references public.users (id) on delete cascade,
  name text not null check (length(name) between 1 and 100),
  properties jsonb not null default '{}' check (jsonb_typeof(properties) = 'object'),
  occurred_at timestamptz not null,
  created_at timestamptz not null default now(),
  device_id uuid,
  primary key (id),
  constraint feature_events_somebodys check (num_nonnulls(user_id, device_id) > 0)
);
create index if not exists feature_events_user_idx on public.feature_events (user_id, occurred_at, id) where user_id is not null;
create index if not exists feature_events_device_idx on public.feature_events (device_id) where user_id is null;
create index if not exists feature_events_time_idx on public.feature_events using brin (occurred_at);
comment on table public.feature_events is 'One row per use of a feature, as the extension reports it; dropped by retention like usage events.';
comment on column public.feature_events.id is 'The event''s id.';
comment on column public.feature_events.user_id is 'Whose it is, and goes with; null for a device that is linked to nobody.';
comment on column public.feature_events.name is 'Name of the feature, as the extension calls it.';
comment on column public.feature_events.properties is 'What the extension says about it: one flat object.';
comment on column public.feature_events.occurred_at is 'When it was used.';
comment on column public.feature_events.created_at is 'When it was recorded.';
comment on column public.feature_events.device_id is 'The device that sent it, if one did.';

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
