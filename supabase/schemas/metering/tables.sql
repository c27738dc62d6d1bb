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
  nano_usd bigint check (nano_usd >= 0),
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
comment on column public.usage_events.nano_usd is 'What upstream charges for it, in nano-dollars (10^-9 US dollars); null where that is not known.';

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
  nano_usd bigint not null default 0 check (nano_usd >= 0),
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
comment on column public.usage_rollups.nano_usd is 'Sum of what upstream charges for them, in nano-dollars, as far as that is known.';

create table if not exists private.rollup_names (
  subject_id uuid not null,
  day date not null,
  provider text not null,
  model text not null,
  primary key (subject_id, day, provider, model)
);
create index if not exists rollup_names_day_idx on private.rollup_names using brin (day);
comment on table private.rollup_names is
  'The providers and models the rollups of a subject and day (UTC) tell apart, the first hundred to come; all others are counted as other. Kept as long as the events.';
comment on column private.rollup_names.subject_id is 'The device or user.';
comment on column private.rollup_names.day is 'The day (UTC).';
comment on column private.rollup_names.provider is 'The AI provider.';
comment on column private.rollup_names.model is 'The model.';

create table if not exists public.usage_totals (
  bucket timestamptz not null,
  shard smallint not null check (shard between 0 and 7),
  events bigint not null check (events >= 0),
  prompts bigint not null check (prompts >= 0),
  input_tokens bigint not null check (input_tokens >= 0),
  output_tokens bigint not null check (output_tokens >= 0),
  total_tokens bigint not null check (total_tokens >= 0),
  cost bigint not null check (cost >= 0),
  nano_usd bigint not null default 0,
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
comment on column public.usage_totals.nano_usd is 'Sum of what upstream charges for them, in nano-dollars, as far as that is known. A shard may be negative, as corrections go to any.';

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
create index if not exists reservations_closed_idx on public.reservations using brin (closed_at);
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
  key uuid not null,
  request_hash bigint not null,
  answer jsonb,
  created_at timestamptz not null default now(),
  tokens_used bigint,
  remaining bigint,
  primary key (subject_id, key)
);
-- By the hour, as equal entries are stored once: what is pruned is older than two days.
create index if not exists idempotency_keys_hour_idx on private.idempotency_keys (date_bin('1 hour', created_at, 'epoch'));
comment on table private.idempotency_keys is 'The answers to writes that carried an idempotency key, so that a retry gets the same one and is charged once.';
comment on column private.idempotency_keys.subject_id is 'Keys are private to a device or user.';
comment on column private.idempotency_keys.key is 'The first 128 bits of the SHA-256 of the caller''s key.';
comment on column private.idempotency_keys.request_hash is 'The first 64 bits of the SHA-256 of what was asked: the same key with another request is refused.';
comment on column private.idempotency_keys.answer is 'The original answer; null for a device''s debit, whose answer is made of the other columns.';
comment on column private.idempotency_keys.created_at is 'When it was first used; kept for at least 48 hours.';
comment on column private.idempotency_keys.tokens_used is 'What a device''s debit took; its event is that of keyed_event_id.';
comment on column private.idempotency_keys.remaining is 'What a device''s debit left.';
