-- Metering: balances, the ledger behind them, usage events with their rollups, holds and prices.

create table if not exists public.balances (
  subject_id uuid primary key,
  subject_kind text not null check (subject_kind in ('device', 'user')),
  allocated bigint not null default 0 check (allocated between 0 and 9007199254740991),
  used bigint not null default 0 check (used >= 0),
  reserved bigint not null default 0 check (reserved >= 0),
  period integer not null default 1 check (period > 0),
  updated_at timestamptz not null default now(),
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

create table if not exists public.ledger_entries (
  id uuid primary key default gen_random_uuid(),
  subject_id uuid not null,
  kind text not null check (kind in ('grant', 'transfer', 'reset', 'adjustment', 'subscription')),
  amount bigint not null check (amount <> 0),
  period integer not null,
  actor text not null,
  reference text,
  created_at timestamptz not null default now()
);
create index if not exists ledger_entries_subject_idx on public.ledger_entries (subject_id, created_at);
create index if not exists ledger_entries_transfer_idx on public.ledger_entries (reference) where kind = 'transfer';
comment on table public.ledger_entries is 'Every change of an allocation, append-only. Their sum per subject is balances.allocated.';
comment on column public.ledger_entries.id is 'The entry''s id.';
comment on column public.ledger_entries.subject_id is 'The device or user whose allocation changed.';
comment on column public.ledger_entries.kind is 'grant, transfer (one of two legs), reset, adjustment or subscription.';
comment on column public.ledger_entries.amount is 'Tokens added (positive) or taken back (negative).';
comment on column public.ledger_entries.period is 'The budget period the change fell into.';
comment on column public.ledger_entries.actor is 'Who did it: system:registration, admin:<name>, …';
comment on column public.ledger_entries.reference is 'What it belongs to; the two legs of a transfer share it.';
comment on column public.ledger_entries.created_at is 'When it was written.';

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
comment on table public.usage_events is 'One row per use of a model, append-only, partitioned by month.';
comment on column public.usage_events.id is 'The event''s id.';
comment on column public.usage_events.subject_id is 'The device or user whose balance the event counts against.';
comment on column public.usage_events.user_id is 'The account behind it, if known.';
comment on column public.usage_events.device_id is 'The device behind it, if any.';
comment on column public.usage_events.source is 'Which door it came through: device, extension, tracker, chat or api.';
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
comment on table public.usage_rollups is 'Usage events summed per quarter hour, so that a day is exact in every time zone. Written in the same transaction as the events.';
comment on column public.usage_rollups.subject_id is 'The device or user.';
comment on column public.usage_rollups.bucket is 'Start of the quarter hour (UTC).';
comment on column public.usage_rollups.provider is 'The AI provider.';
comment on column public.usage_rollups.model is 'The model.';
comment on column public.usage_rollups.source is 'The door the events came through.';
comment on column public.usage_rollups.events is 'Number of events.';
comment on column public.usage_rollups.prompts is 'Sum of their prompts.';
comment on column public.usage_rollups.input_tokens is 'Sum of their input tokens.';
comment on column public.usage_rollups.output_tokens is 'Sum of their output tokens.';
comment on column public.usage_rollups.total_tokens is 'Sum of their tokens.';
comment on column public.usage_rollups.cost is 'Sum of what they debited.';

create table if not exists public.reservations (
  id uuid primary key default gen_random_uuid(),
  subject_id uuid not null,
  amount bigint not null check (amount >= 0),
  status text not null default 'held' check (status in ('held', 'settled', 'expired')),
  model text not null check (length(model) between 1 and 200),
  prompt_count integer not null check (prompt_count >= 0),
  usage_event_id uuid,
  expires_at timestamptz not null,
  created_at timestamptz not null default now(),
  closed_at timestamptz
);
create index if not exists reservations_held_idx on public.reservations (subject_id, expires_at) where status = 'held';
create index if not exists reservations_expiry_idx on public.reservations (expires_at) where status = 'held';
comment on table public.reservations is 'Holds: tokens set aside before a prompt and settled by the usage that follows, or given back when they expire.';
comment on column public.reservations.id is 'The hold''s id, sent back with the usage that settles it.';
comment on column public.reservations.subject_id is 'The device or user whose tokens are held.';
comment on column public.reservations.amount is 'Tokens held.';
comment on column public.reservations.status is 'held, settled (usage was debited) or expired (tokens given back).';
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
insert into public.model_costs (model, cost) values ('*', 1), ('claude-opus-4.5', 3)
on conflict (model) do nothing;
comment on table public.model_costs is 'Tokens one prompt debits from a device, per model. Edit rows freely; the next debit uses the new price.';
comment on column public.model_costs.model is 'The model in lower case; * stands for every model without a row of its own.';
comment on column public.model_costs.cost is 'Tokens per prompt.';
comment on column public.model_costs.updated_at is 'When the price last changed.';

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
alter table public.usage_totals enable row level security;
revoke all on table public.usage_totals from anon, authenticated, service_role;
comment on table public.usage_totals is 'Usage of everybody per quarter hour. Split into shards so that concurrent writers do not wait for each other; add them up.';
comment on column public.usage_totals.bucket is 'Start of the quarter hour (UTC).';
comment on column public.usage_totals.shard is 'Which of eight parts.';
comment on column public.usage_totals.events is 'Number of events.';
comment on column public.usage_totals.prompts is 'Sum of their prompts.';
comment on column public.usage_totals.input_tokens is 'Sum of their input tokens.';
comment on column public.usage_totals.output_tokens is 'Sum of their output tokens.';
comment on column public.usage_totals.total_tokens is 'Sum of their tokens.';
comment on column public.usage_totals.cost is 'Sum of what they debited.';

create table if not exists public.budgets (
  subject_kind text primary key check (subject_kind in ('device', 'user')),
  total bigint check (total between 0 and 9007199254740991),
  allocated bigint not null default 0 check (allocated >= 0),
  updated_at timestamptz not null default now()
);
insert into public.budgets (subject_kind) values ('device'), ('user') on conflict (subject_kind) do nothing;
alter table public.budgets enable row level security;
revoke all on table public.budgets from anon, authenticated, service_role;
comment on table public.budgets is 'The central pools tokens are allocated from: one for devices, one for users. Locked before any balance by whatever changes allocations.';
comment on column public.budgets.subject_kind is 'device or user.';
comment on column public.budgets.total is 'Size of the pool in tokens; null is unlimited.';
comment on column public.budgets.allocated is 'Tokens handed out; always the sum of the balances'' allocations.';
comment on column public.budgets.updated_at is 'When it last changed.';

create table if not exists public.periods (
  number integer primary key check (number > 0),
  started_at timestamptz not null default now(),
  closed_at timestamptz,
  closed_by text,
  default_tokens bigint check (default_tokens >= 0)
);
insert into public.periods (number) values (1) on conflict (number) do nothing;
alter table public.periods enable row level security;
revoke all on table public.periods from anon, authenticated, service_role;
comment on table public.periods is 'Budget periods of the devices, ended by the monthly reset. The newest has no end yet.';
comment on column public.periods.number is 'Counts up from 1.';
comment on column public.periods.started_at is 'When the period began.';
comment on column public.periods.closed_at is 'When a reset ended it.';
comment on column public.periods.closed_by is 'Who ended it: admin:<name> or system:monthly.';
comment on column public.periods.default_tokens is 'What every device was given when the period began; null for the first one.';

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

-- Row-level security: a device reads its own rows, a user their own and those of their devices.
do $$
declare
  v_table text;
begin
  foreach v_table in array array['balances', 'ledger_entries', 'usage_events', 'usage_rollups', 'reservations'] loop
    execute format('alter table public.%I enable row level security', v_table);
    execute format('revoke all on table public.%I from anon, authenticated, service_role', v_table);
    execute format('grant select on table public.%I to authenticated', v_table);
    execute format('drop policy if exists %I on public.%I', v_table || '_read_own', v_table);
    execute format(
      $policy$
        create policy %I on public.%I
          for select to authenticated
          using (
            subject_id = (select (auth.jwt() ->> 'device_id')::uuid)
            or subject_id = (select auth.uid())
            or subject_id in (select d.id from public.devices d where d.user_id = (select auth.uid()))
          )
      $policy$,
      v_table || '_read_own', v_table
    );
  end loop;
end
$$;
alter table public.model_costs enable row level security;
revoke all on table public.model_costs from anon, authenticated, service_role;
alter table private.idempotency_keys enable row level security;
