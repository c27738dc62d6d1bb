create or replace trigger subscriptions_keep_customers
  before delete on public.subscriptions
  for each row execute function private.refuse_paying_customer();

-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or delete or truncate on public.plans
  for each statement execute function private.refuse_by_hand('there are three tiers, whose tokens and devices may be edited; give_plan(person, tier) gives somebody one');
alter table public.plans enable always trigger by_hand;

create or replace trigger by_hand_update
  after update on public.plans
  for each row when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand('plan', 'tier', 'monthly_tokens,device_limit,updated_at', 'monthly_tokens,device_limit', 'give_plan(person, tier) gives somebody another tier');
alter table public.plans enable always trigger by_hand_update;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.subscriptions
  for each statement execute function private.refuse_by_hand('call give_plan(person, tier); what is paid is told by Stripe, through apply_subscription()');
alter table public.subscriptions enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.subscription_grants
  for each statement execute function private.refuse_by_hand('it is written with what Stripe tells, by apply_invoice() and settle_return(); to make up for something call grant_tokens(person, tokens, ''why'')');
alter table public.subscription_grants enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.stripe_returns
  for each statement execute function private.refuse_by_hand('it is written with what Stripe tells, by apply_invoice() and settle_return(); to make up for something call grant_tokens(person, tokens, ''why'')');
alter table private.stripe_returns enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.stripe_events
  for each statement execute function private.refuse_by_hand('it is written with what Stripe tells, by apply_invoice() and settle_return(); to make up for something call grant_tokens(person, tokens, ''why'')');
alter table private.stripe_events enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.stripe_syncs
  for each statement execute function private.refuse_by_hand('it is written with what Stripe tells, by apply_invoice() and settle_return(); to make up for something call grant_tokens(person, tokens, ''why'')');
alter table private.stripe_syncs enable always trigger by_hand;
