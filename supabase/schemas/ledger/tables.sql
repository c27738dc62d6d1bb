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
  remaining bigint not null generated always as (allocated - used - reserved) stored,
  constraint balances_never_overspent check (remaining >= 0)
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
