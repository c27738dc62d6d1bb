-- What everybody may spend, and the entries that prove it.

create table if not exists public.balances (
  subject_id uuid primary key,
  subject_kind text not null check (subject_kind = any ('{device,user}')),
  allocated bigint not null default 0 check (allocated <@ int8range '[0,9007199254740991]'),
  used bigint not null default 0,
  reserved bigint not null default 0,
  period integer not null default 1,
  updated_at timestamptz not null default now(),
  debt bigint not null default 0,
  remaining bigint not null generated always as (allocated - used - reserved) stored,
  alert_at bigint,
  alert_base bigint,
  alert_period integer,
  alert_allocated bigint,
  alerted smallint,
  exhausted boolean,
  constraint balances_never_overspent check (remaining >= 0),
  constraint balances_amounts_check check (least(used, reserved, debt, period - 1) >= 0)
) with (fillfactor = 50);
comment on table public.balances is 'What each device or user may spend. Written only by the metering functions.';
comment on column public.balances.subject_id is 'The device or user the balance belongs to.';
comment on column public.balances.subject_kind is 'device or user.';
comment on column public.balances.allocated is 'Tokens granted; always the sum of the subject''s ledger entries.';
comment on column public.balances.used is 'Tokens spent in the current period; always the sum of its usage events'' costs.';
comment on column public.balances.reserved is 'Tokens in open holds; always the sum of the held reservations.';
comment on column public.balances.period is 'The budget period `used` counts for; a monthly reset starts the next.';
comment on column public.balances.updated_at is 'When the balance last changed.';
comment on column public.balances.debt is 'Tokens spent beyond what was left, because a provider billed more than its hold; paid by the next tokens that come in. Usage events cost used + debt.';
comment on column public.balances.remaining is 'Tokens that may still be spent: allocated - used - reserved, worked out here and nowhere else.';
comment on column public.balances.alert_at is 'Tokens used from which on a debit looks at the thresholds again; null where that is with the next one.';
comment on column public.balances.alert_base is 'Tokens used when the measuring of thresholds began.';
comment on column public.balances.alert_period is 'The budget period alert_at was worked out in.';
comment on column public.balances.alert_allocated is 'The allocation alert_at was worked out with.';
comment on column public.balances.alerted is 'The highest threshold that was announced since, in percent.';
comment on column public.balances.exhausted is 'Whether it was announced since that nothing is left.';

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
create index if not exists ledger_entries_correction_idx on public.ledger_entries (reference) where kind = 'correction';
-- The last guard: one ledger entry for what was paid once.
create unique index if not exists ledger_entries_subscription_idx
  on public.ledger_entries (reference) where kind = 'subscription';
-- Nothing is undone twice.
create unique index if not exists ledger_entries_undo_idx
  on public.ledger_entries (reference, subject_id) where reference like 'undo %';
comment on table public.ledger_entries is 'Every change of an allocation, append-only. Their sum per subject is balances.allocated.';
comment on column public.ledger_entries.id is 'The entry''s id.';
comment on column public.ledger_entries.subject_id is 'The device or user whose allocation changed.';
comment on column public.ledger_entries.kind is 'grant, transfer (one of two legs), reset, adjustment, subscription, or correction (of an estimated use).';
comment on column public.ledger_entries.amount is 'Tokens added (positive) or taken back (negative).';
comment on column public.ledger_entries.period is 'The budget period the change fell into.';
comment on column public.ledger_entries.actor is 'Who did it: system:registration, admin:<name>, …';
comment on column public.ledger_entries.reference is 'What it belongs to; the two legs of a transfer share it, and undo … names the entry or transfer that is undone.';
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

create table if not exists private.ledger_checks (
  id bigint generated always as identity primary key,
  checked_at timestamptz not null default now(),
  milliseconds integer not null check (milliseconds >= 0),
  failing text[] not null,
  discrepancies integer not null check (discrepancies >= 0),
  digest text not null
);
comment on table private.ledger_checks is 'When the books were last proved, and what came of it; kept for 90 days.';
comment on column private.ledger_checks.id is 'Counts up.';
comment on column private.ledger_checks.checked_at is 'When it was.';
comment on column private.ledger_checks.milliseconds is 'How long it took.';
comment on column private.ledger_checks.failing is 'The checks that found something.';
comment on column private.ledger_checks.discrepancies is 'How many discrepancies they found.';
comment on column private.ledger_checks.digest is 'MD5 of the discrepancies: the same ones are told once.';
-- Months that are over are proved once and sealed, so that proving the books again costs no more than what happened since.

create table if not exists private.sealed_months (
  month timestamptz primary key,
  events bigint not null default 0,
  rollups bigint not null default 0,
  checksum numeric not null default 0,
  sealed_at timestamptz,
  proved_at timestamptz not null default now(),
  retired_at timestamptz,
  fault jsonb
);
comment on table private.sealed_months is 'Months whose events and rollups were proved and may be trusted since: what changes in them is noted in changed_usage.';
comment on column private.sealed_months.month is 'The month''s start (UTC).';
comment on column private.sealed_months.events is 'Number of its events.';
comment on column private.sealed_months.rollups is 'Number of its rollups.';
comment on column private.sealed_months.checksum is 'Sum of the hashes of every event and every rollup of the month. Keep a copy elsewhere to prove that nobody wrote the seals anew.';
comment on column private.sealed_months.sealed_at is 'When it was sealed; null where it could not be, as fault says why.';
comment on column private.sealed_months.proved_at is 'When its events and rollups were last read again.';
comment on column private.sealed_months.retired_at is 'Since when it has rollups only, as retention has dropped its events.';
comment on column private.sealed_months.fault is 'What was found wrong with it; null for a sound one.';

create table if not exists private.sealed_events (
  month timestamptz not null,
  subject_id uuid not null,
  period integer not null,
  events bigint not null,
  cost bigint not null,
  checksum numeric not null,
  primary key (month, subject_id, period)
);
comment on table private.sealed_events is 'What the events of sealed months add up to.';
comment on column private.sealed_events.month is 'The month''s start (UTC).';
comment on column private.sealed_events.subject_id is 'The device or user.';
comment on column private.sealed_events.period is 'The budget period the events belong to.';
comment on column private.sealed_events.events is 'Number of events.';
comment on column private.sealed_events.cost is 'Sum of their costs.';
comment on column private.sealed_events.checksum is 'Sum of their hashes.';

create table if not exists private.sealed_rollups (
  month timestamptz not null,
  subject_id uuid not null,
  rollups bigint not null,
  tracked_prompts bigint not null,
  tracked_tokens bigint not null,
  checksum numeric not null,
  primary key (month, subject_id)
);
comment on table private.sealed_rollups is 'What the rollups of sealed months add up to.';
comment on column private.sealed_rollups.month is 'The month''s start (UTC).';
comment on column private.sealed_rollups.subject_id is 'The device or user.';
comment on column private.sealed_rollups.rollups is 'Number of rollups.';
comment on column private.sealed_rollups.tracked_prompts is 'Prompts in those of the tracker.';
comment on column private.sealed_rollups.tracked_tokens is 'Tokens in those of the tracker.';
comment on column private.sealed_rollups.checksum is 'Sum of their hashes.';

create table if not exists private.sealed_totals (
  bucket timestamptz primary key,
  events bigint not null,
  prompts bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  total_tokens bigint not null,
  cost bigint not null,
  nano_usd bigint not null
);
comment on table private.sealed_totals is 'What everybody''s rollups of a quarter hour in a sealed month add up to.';
comment on column private.sealed_totals.bucket is 'Start of the quarter hour (UTC).';
comment on column private.sealed_totals.events is 'Number of events.';
comment on column private.sealed_totals.prompts is 'Sum of their prompts.';
comment on column private.sealed_totals.input_tokens is 'Sum of their input tokens.';
comment on column private.sealed_totals.output_tokens is 'Sum of their output tokens.';
comment on column private.sealed_totals.total_tokens is 'Sum of their tokens.';
comment on column private.sealed_totals.cost is 'Sum of what they debited.';
comment on column private.sealed_totals.nano_usd is 'Sum of what upstream charges for them, in nano-dollars.';

-- A row of its own for each transaction: whoever changes the past waits for nobody, and a seal that is renewed takes away
-- only what it has seen.
create table if not exists private.changed_usage (
  month timestamptz not null,
  subject_id uuid not null,
  bucket timestamptz not null,
  changed_by xid8 not null default pg_current_xact_id(),
  by_hand boolean not null default false,
  primary key (month, subject_id, bucket, changed_by)
);
comment on table private.changed_usage is 'What changed in months that are over, since they were sealed: written by triggers, in the transaction of the change.';
comment on column private.changed_usage.month is 'The month''s start (UTC).';
comment on column private.changed_usage.subject_id is 'The device or user.';
comment on column private.changed_usage.bucket is 'The quarter hour something changed in.';
comment on column private.changed_usage.changed_by is 'The transaction.';
comment on column private.changed_usage.by_hand is 'Whether something changed that no function of ours ever changes.';
