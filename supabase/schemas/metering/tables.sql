-- Usage events with their rollups, holds and prices.

-- Postgres reads each check anew for every statement that writes, so there is one for all amounts of a table, and lists and
-- ranges are one constant each: what they are read from has half the length.
create table if not exists public.usage_events (
  id uuid not null default gen_random_uuid(),
  subject_id uuid not null,
  user_id uuid,
  device_id uuid,
  source text not null check (source = any ('{device,extension,tracker,chat,api}')),
  provider text not null default 'unknown' check (length(provider) <@ int4range '[1,50]'),
  model text not null check (length(model) <@ int4range '[1,200]'),
  prompt_count integer not null default 1,
  input_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  total_tokens bigint not null default 0,
  cost bigint not null default 0,
  provenance text not null check (provenance = any ('{client_reported,provider_final,estimated}')),
  period integer not null,
  url text check (length(url) <= 2048),
  occurred_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  nano_usd bigint,
  primary key (subject_id, occurred_at, id),
  constraint usage_events_amounts_check check (least(prompt_count, input_tokens, output_tokens, total_tokens, cost, nano_usd) >= 0)
) partition by range (occurred_at);
-- Events devices recorded in the name of the person they are linked to. Devices of nobody are not in it.
create index if not exists usage_events_linked_idx on public.usage_events (user_id, occurred_at, id)
  where user_id is not null and user_id is distinct from subject_id;
-- Debits of people. Events that only observe cost nothing, and what the device API records debits the device:
-- neither is in it, so that writing those costs no more.
create index if not exists usage_events_debits_idx on public.usage_events (subject_id, occurred_at, id)
  where cost > 0 and source <> 'device';
-- An admin's list of everybody's newest events, and summaries of everybody over some time.
-- Without the id, as what a call recorded has one time, and equal entries are stored once.
create index if not exists usage_events_time_idx on public.usage_events (occurred_at);
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
  events bigint not null,
  prompts bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  total_tokens bigint not null,
  cost bigint not null,
  nano_usd bigint not null default 0,
  primary key (subject_id, bucket, provider, model, source),
  constraint usage_rollups_amounts_check check (
    least(events, prompts, input_tokens, output_tokens, total_tokens, cost, nano_usd) >= 0
  )
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
  shard smallint not null check (shard = any ('{0,1,2,3,4,5,6,7}')),
  events bigint not null,
  prompts bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  total_tokens bigint not null,
  cost bigint not null,
  nano_usd bigint not null default 0,
  primary key (bucket, shard),
  constraint usage_totals_amounts_check check (least(events, prompts, input_tokens, output_tokens, total_tokens, cost) >= 0)
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

-- Days that are over, so that a year of everybody's use is read from some thousand rows however many there were. Nothing of
-- it is written with the events: what changes later is noted, and a day with notes is read from its quarter hours.

create table if not exists private.daily_usage (
  day date not null,
  provider text not null,
  model text not null,
  source text not null,
  events bigint not null,
  prompts bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  total_tokens bigint not null,
  cost bigint not null,
  nano_usd bigint not null,
  primary key (day, provider, model, source)
);
comment on table private.daily_usage is 'Rollups of everybody summed per day that is over; see summed_days for which may be used.';
comment on column private.daily_usage.day is 'The day (UTC).';
comment on column private.daily_usage.provider is 'The AI provider.';
comment on column private.daily_usage.model is 'The model.';
comment on column private.daily_usage.source is 'Which API recorded the events.';
comment on column private.daily_usage.events is 'Number of events.';
comment on column private.daily_usage.prompts is 'Sum of their prompts.';
comment on column private.daily_usage.input_tokens is 'Sum of their input tokens.';
comment on column private.daily_usage.output_tokens is 'Sum of their output tokens.';
comment on column private.daily_usage.total_tokens is 'Sum of their tokens.';
comment on column private.daily_usage.cost is 'Sum of what they debited.';
comment on column private.daily_usage.nano_usd is 'Sum of what upstream charges for them, in nano-dollars, as far as that is known.';

-- Where a day of another time zone than UTC's begins within one of these, its part of that is told by the quarter hours.
create table if not exists private.quarter_hour_usage (
  bucket timestamptz not null,
  provider text not null,
  model text not null,
  source text not null,
  events bigint not null,
  prompts bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  total_tokens bigint not null,
  cost bigint not null,
  nano_usd bigint not null,
  primary key (bucket, provider, model, source)
);
comment on table private.quarter_hour_usage is 'Rollups of everybody summed per quarter hour of the days daily_usage has; see summed_days for which may be used.';
comment on column private.quarter_hour_usage.bucket is 'Start of the quarter hour (UTC).';
comment on column private.quarter_hour_usage.provider is 'The AI provider.';
comment on column private.quarter_hour_usage.model is 'The model.';
comment on column private.quarter_hour_usage.source is 'Which API recorded the events.';
comment on column private.quarter_hour_usage.events is 'Number of events.';
comment on column private.quarter_hour_usage.prompts is 'Sum of their prompts.';
comment on column private.quarter_hour_usage.input_tokens is 'Sum of their input tokens.';
comment on column private.quarter_hour_usage.output_tokens is 'Sum of their output tokens.';
comment on column private.quarter_hour_usage.total_tokens is 'Sum of their tokens.';
comment on column private.quarter_hour_usage.cost is 'Sum of what they debited.';
comment on column private.quarter_hour_usage.nano_usd is 'Sum of what upstream charges for them, in nano-dollars, as far as that is known.';

-- Who used how much, so that everybody's use by device or person is read from a row for each of them a day or month.

create table if not exists private.daily_subject_usage (
  day date not null,
  subject_id uuid not null,
  events bigint not null,
  prompts bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  total_tokens bigint not null,
  cost bigint not null,
  nano_usd bigint not null,
  primary key (day, subject_id)
);
comment on table private.daily_subject_usage is 'Rollups of each device and user summed per day that is over; see summed_days for which may be used.';
comment on column private.daily_subject_usage.day is 'The day (UTC).';
comment on column private.daily_subject_usage.subject_id is 'The device or user.';
comment on column private.daily_subject_usage.events is 'Number of events.';
comment on column private.daily_subject_usage.prompts is 'Sum of their prompts.';
comment on column private.daily_subject_usage.input_tokens is 'Sum of their input tokens.';
comment on column private.daily_subject_usage.output_tokens is 'Sum of their output tokens.';
comment on column private.daily_subject_usage.total_tokens is 'Sum of their tokens.';
comment on column private.daily_subject_usage.cost is 'Sum of what they debited.';
comment on column private.daily_subject_usage.nano_usd is 'Sum of what upstream charges for them, in nano-dollars, as far as that is known.';

-- Written with each of its days, so there is space for the next version of a row.
create table if not exists private.monthly_subject_usage (
  month date not null,
  subject_id uuid not null,
  events bigint not null,
  prompts bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  total_tokens bigint not null,
  cost bigint not null,
  nano_usd bigint not null,
  primary key (month, subject_id)
) with (fillfactor = 80);
comment on table private.monthly_subject_usage is 'What daily_subject_usage has of a month; it may be used where all days of the month may be.';
comment on column private.monthly_subject_usage.month is 'First day of the month (UTC).';
comment on column private.monthly_subject_usage.subject_id is 'The device or user.';
comment on column private.monthly_subject_usage.events is 'Number of events.';
comment on column private.monthly_subject_usage.prompts is 'Sum of their prompts.';
comment on column private.monthly_subject_usage.input_tokens is 'Sum of their input tokens.';
comment on column private.monthly_subject_usage.output_tokens is 'Sum of their output tokens.';
comment on column private.monthly_subject_usage.total_tokens is 'Sum of their tokens.';
comment on column private.monthly_subject_usage.cost is 'Sum of what they debited.';
comment on column private.monthly_subject_usage.nano_usd is 'Sum of what upstream charges for them, in nano-dollars, as far as that is known.';

create table if not exists private.summed_days (
  day date primary key,
  closed_by xid8 not null default pg_current_xact_id(),
  summed_at timestamptz,
  subjects_at timestamptz
);
comment on table private.summed_days is 'The days that are summed up, or are to be.';
comment on column private.summed_days.day is 'The day (UTC).';
comment on column private.summed_days.closed_by is 'A transaction that began when changes of the day had been noted for a while: it is summed once all before that one have ended.';
comment on column private.summed_days.summed_at is 'When daily_usage and quarter_hour_usage got it last; null where they are to.';
comment on column private.summed_days.subjects_at is 'When daily_subject_usage and monthly_subject_usage got it last; null where they are to.';

create table if not exists private.changed_days (
  day date not null,
  changed_by xid8 not null default pg_current_xact_id(),
  primary key (day, changed_by)
);
comment on table private.changed_days is 'Days whose rollups changed since they were summed, or more than a day after: written by triggers, in the transaction of the change.';
comment on column private.changed_days.day is 'The day (UTC).';
comment on column private.changed_days.changed_by is 'The transaction: a row of its own, so that nobody waits.';

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
  answer jsonb not null,
  created_at timestamptz not null default now(),
  tokens_used bigint,
  remaining bigint,
  primary key (subject_id, key)
);
-- By the hour, as equal entries are stored once: what is pruned is older than two days.
create index if not exists idempotency_keys_hour_idx on private.idempotency_keys (date_bin('1 hour', created_at, 'epoch'));
comment on table private.idempotency_keys is 'The answers to people''s and admins'' writes that carried an idempotency key, so that a retry gets the same one and is charged once.';
comment on column private.idempotency_keys.subject_id is 'Keys are private to a person or admin.';
comment on column private.idempotency_keys.key is 'The first 128 bits of the SHA-256 of the caller''s key.';
comment on column private.idempotency_keys.request_hash is 'The first 64 bits of the SHA-256 of what was asked: the same key with another request is refused.';
comment on column private.idempotency_keys.answer is 'The original answer.';
comment on column private.idempotency_keys.created_at is 'When it was first used; kept for at least 48 hours.';
comment on column private.idempotency_keys.tokens_used is 'Always null, as devices have keys of their own.';
comment on column private.idempotency_keys.remaining is 'Always null, as devices have keys of their own.';

-- Nearly every debit has one: nothing is in it that can be found otherwise.
create table if not exists private.device_keys (
  key uuid primary key,
  request_hash bigint not null,
  created_at timestamptz not null default now(),
  remaining bigint,
  answer jsonb
);
create index if not exists device_keys_hour_idx on private.device_keys (date_bin('1 hour', created_at, 'epoch'));
comment on table private.device_keys is 'The idempotency keys of devices'' debits and holds, so that a retry gets the same answer and is charged once.';
comment on column private.device_keys.key is 'The key as device_key makes it, which is private to a device.';
comment on column private.device_keys.request_hash is 'The first 64 bits of the SHA-256 of what was asked: the same key with another request is refused.';
comment on column private.device_keys.created_at is 'When it was first used; kept for at least 48 hours. For a debit also when its event happened, whose id is that of keyed_event_id.';
comment on column private.device_keys.remaining is 'What a debit left.';
comment on column private.device_keys.answer is 'The original answer; null for a debit, whose answer is made of its event and of what it left.';
