-- What a tier is worth, who has one, and what was granted for it. Stripe keeps the money and the truth.

create table if not exists public.plans (
  tier text primary key check (tier in ('free', 'pro', 'premium')),
  monthly_tokens bigint not null check (monthly_tokens between 0 and 1000000000000),
  device_limit integer check (device_limit > 0),
  updated_at timestamptz not null default now()
);
comment on table public.plans is 'What each tier is worth. Edit the rows here; what the tiers cost is a price at Stripe.';
comment on column public.plans.tier is 'free, pro or premium.';
comment on column public.plans.monthly_tokens is 'Tokens a paid month adds to the person''s balance.';
comment on column public.plans.device_limit is 'Devices that may be linked to an account; null for any number.';
comment on column public.plans.updated_at is 'When the row was made; set it when you edit.';

create table if not exists public.subscriptions (
  user_id uuid primary key references public.users (id) on delete cascade,
  stripe_customer_id text unique check (length(stripe_customer_id) between 1 and 255),
  stripe_subscription_id text unique check (length(stripe_subscription_id) between 1 and 255),
  tier text references public.plans (tier),
  status text not null default 'none' check (length(status) between 1 and 50),
  current_period_start timestamptz,
  current_period_end timestamptz,
  cancel_at_period_end boolean not null default false,
  grace_ends_at timestamptz,
  started_at timestamptz,
  state_at timestamptz,
  version bigint not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  tokens_owed bigint not null default 0 check (tokens_owed >= 0),
  returned_tier text references public.plans (tier),
  returned_until timestamptz,
  constraint subscriptions_whole check (
    stripe_subscription_id is null
    or num_nulls(stripe_customer_id, tier, current_period_start, current_period_end, started_at, state_at) = 0
  )
);
create index if not exists subscriptions_tier_idx on public.subscriptions (tier);
create index if not exists subscriptions_returned_tier_idx on public.subscriptions (returned_tier);
comment on table public.subscriptions is 'One row a person who was sent to Stripe, with the state Stripe last told. Nobody without a row pays.';
comment on column public.subscriptions.user_id is 'The person.';
comment on column public.subscriptions.stripe_customer_id is 'Who the person is at Stripe; null where that was deleted.';
comment on column public.subscriptions.stripe_subscription_id is 'The subscription the row is about; null before the first.';
comment on column public.subscriptions.tier is 'The tier that was subscribed to, whether or not it is in force.';
comment on column public.subscriptions.status is 'Stripe''s word: active, trialing, past_due, unpaid, paused, incomplete, canceled, …; none before the first.';
comment on column public.subscriptions.current_period_start is 'Start of the period being billed.';
comment on column public.subscriptions.current_period_end is 'Its end.';
comment on column public.subscriptions.cancel_at_period_end is 'Whether it ends with this period.';
comment on column public.subscriptions.grace_ends_at is 'While a payment is overdue: until when the tier stays in force.';
comment on column public.subscriptions.started_at is 'When the subscription was made at Stripe.';
comment on column public.subscriptions.state_at is 'Stripe''s time of this state: what an older event says is not applied.';
comment on column public.subscriptions.version is 'Counts the changes of the row, so that what was fetched before one is not applied after it.';
comment on column public.subscriptions.created_at is 'When the person was first sent to Stripe.';
comment on column public.subscriptions.updated_at is 'When the row last changed.';
comment on column public.subscriptions.tokens_owed is 'Tokens granted beyond what the money kept is worth; the next paid invoices make up for them, of whichever subscription.';
comment on column public.subscriptions.returned_tier is 'The highest tier in force while money of the present period has gone back; null otherwise.';
comment on column public.subscriptions.returned_until is 'Until when that holds: the end of the period.';

create table if not exists public.subscription_grants (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  stripe_invoice_id text not null unique check (length(stripe_invoice_id) between 1 and 255),
  stripe_subscription_id text not null check (length(stripe_subscription_id) between 1 and 255),
  tier text not null references public.plans (tier),
  renewal boolean not null,
  period_start timestamptz not null,
  period_end timestamptz not null,
  net_tokens bigint not null,
  granted_tokens bigint not null check (granted_tokens >= 0),
  created_at timestamptz not null default now(),
  short_tokens bigint not null default 0 check (short_tokens >= 0),
  returned_tokens bigint not null default 0 check (returned_tokens >= 0),
  taken_tokens bigint not null default 0,
  forgiven_tokens bigint not null default 0 check (forgiven_tokens >= 0),
  paid_amount bigint,
  currency text check (length(currency) between 1 and 10)
);
create unique index if not exists subscription_grants_period_idx
  on public.subscription_grants (stripe_subscription_id, period_start) where renewal;
create index if not exists subscription_grants_user_idx on public.subscription_grants (user_id, created_at, id);
create index if not exists subscription_grants_subscription_idx
  on public.subscription_grants (stripe_subscription_id, period_end);
create index if not exists subscription_grants_tier_idx on public.subscription_grants (tier);
comment on table public.subscription_grants is 'One row a paid invoice: each is counted once, and each period once. What changes is only what of its money has gone back.';
comment on column public.subscription_grants.id is 'The row''s id.';
comment on column public.subscription_grants.user_id is 'Who paid.';
comment on column public.subscription_grants.stripe_invoice_id is 'The invoice.';
comment on column public.subscription_grants.stripe_subscription_id is 'The subscription it is for.';
comment on column public.subscription_grants.tier is 'The tier that was paid for.';
comment on column public.subscription_grants.renewal is 'true for a whole period, false for the rest of one after a change of tier.';
comment on column public.subscription_grants.period_start is 'Start of what was paid for.';
comment on column public.subscription_grants.period_end is 'Its end.';
comment on column public.subscription_grants.net_tokens is 'Tokens of what was charged less those of what was credited; may be negative.';
comment on column public.subscription_grants.granted_tokens is 'Tokens it added to the balance: never less than none. What was credited beyond that lowers the next.';
comment on column public.subscription_grants.created_at is 'When it was written.';
comment on column public.subscription_grants.short_tokens is 'Tokens it should have added and the balance could not hold.';
comment on column public.subscription_grants.returned_tokens is 'Of net_tokens those whose money has gone back: refunded, credited or disputed.';
comment on column public.subscription_grants.taken_tokens is 'Tokens taken from the balance for it; negative where more came back after later invoices had made up for what was spent.';
comment on column public.subscription_grants.forgiven_tokens is 'Tokens of returned money that were spent, and are not made up for.';
comment on column public.subscription_grants.paid_amount is 'Money that was paid, in the smallest unit of the currency; null where it was not noted.';
comment on column public.subscription_grants.currency is 'Its currency, such as usd.';

create table if not exists private.stripe_returns (
  stripe_invoice_id text primary key check (length(stripe_invoice_id) between 1 and 255),
  user_id uuid not null references public.users (id) on delete cascade,
  returned bigint not null check (returned >= 0),
  total bigint not null,
  forgives boolean not null,
  version bigint not null default 1,
  updated_at timestamptz not null default now()
);
create index if not exists stripe_returns_user_idx on private.stripe_returns (user_id);
comment on table private.stripe_returns is 'What of an invoice''s money has gone back, as Stripe last told; also before the invoice itself is known here.';
comment on column private.stripe_returns.stripe_invoice_id is 'The invoice.';
comment on column private.stripe_returns.user_id is 'Who paid it.';
comment on column private.stripe_returns.returned is 'Money refunded, credited or disputed, in the smallest unit of the currency.';
comment on column private.stripe_returns.total is 'Money the invoice was about, likewise; what paid for it may have been credit.';
comment on column private.stripe_returns.forgives is 'Whether what was spent of it is written down instead of owed.';
comment on column private.stripe_returns.version is 'Counts the changes, so that what was fetched before one is not applied after it.';
comment on column private.stripe_returns.updated_at is 'When it last changed.';

create table if not exists private.stripe_events (
  id text primary key check (length(id) between 1 and 255),
  type text not null check (length(type) between 1 and 100),
  created_at timestamptz not null,
  received_at timestamptz not null default now()
);
create index if not exists stripe_events_received_idx on private.stripe_events (received_at);
comment on table private.stripe_events is 'Webhook events whose effect has committed, each in the same transaction as its effect.';
comment on column private.stripe_events.id is 'Stripe''s id of the event.';
comment on column private.stripe_events.type is 'What it was about.';
comment on column private.stripe_events.created_at is 'When it happened at Stripe.';
comment on column private.stripe_events.received_at is 'When it took effect here.';

create table if not exists private.stripe_syncs (
  id boolean primary key default true check (id),
  started_at timestamptz not null
);
comment on table private.stripe_syncs is 'One row: when a server last began to compare.';
comment on column private.stripe_syncs.id is 'Always true.';
comment on column private.stripe_syncs.started_at is 'When it began.';
