-- The pools that balances are filled from.

create table if not exists public.budgets (
  subject_kind text primary key check (subject_kind in ('device', 'user')),
  total bigint check (total between 0 and 9007199254740991),
  allocated bigint not null default 0 check (allocated >= 0),
  updated_at timestamptz not null default now(),
  alert_period integer,
  alert_total bigint,
  alerted smallint
);
comment on table public.budgets is 'The central pools tokens are allocated from: one for devices, one for users. Locked before any balance by whatever changes allocations.';
comment on column public.budgets.subject_kind is 'device or user.';
comment on column public.budgets.total is 'Size of the pool in tokens; null is unlimited.';
comment on column public.budgets.allocated is 'Tokens handed out; always the sum of the balances'' allocations.';
comment on column public.budgets.updated_at is 'When it last changed.';
comment on column public.budgets.alert_period is 'The budget period thresholds are measured in.';
comment on column public.budgets.alert_total is 'The size thresholds are measured with.';
comment on column public.budgets.alerted is 'The highest threshold of the pool that was announced since, in percent.';
