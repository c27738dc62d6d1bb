-- Budget periods: the monthly reset is one atomic step from one to the next.

create table if not exists public.periods (
  number integer primary key check (number > 0),
  started_at timestamptz not null default now(),
  closed_at timestamptz,
  closed_by text,
  default_tokens bigint check (default_tokens >= 0)
);
comment on table public.periods is 'Budget periods of the devices, ended by the monthly reset. The newest has no end yet.';
comment on column public.periods.number is 'Counts up from 1.';
comment on column public.periods.started_at is 'When the period began.';
comment on column public.periods.closed_at is 'When a reset ended it.';
comment on column public.periods.closed_by is 'Who ended it: admin:<name> or system:monthly.';
comment on column public.periods.default_tokens is 'What every device was given when the period began; null for the first one.';

create table if not exists public.period_balances (
  period integer not null references public.periods (number),
  subject_id uuid not null,
  allocated bigint not null check (allocated >= 0),
  used bigint not null check (used >= 0),
  primary key (period, subject_id)
);
comment on table public.period_balances is 'What each device had and used in a closed budget period.';
comment on column public.period_balances.period is 'The closed period.';
comment on column public.period_balances.subject_id is 'The device.';
comment on column public.period_balances.allocated is 'Its allocation at the end of the period.';
comment on column public.period_balances.used is 'What it used in the period.';
