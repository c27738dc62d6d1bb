alter table public.subscriptions enable row level security;
grant select on table public.subscriptions to authenticated;
create policy subscriptions_read_own on public.subscriptions
  for select to authenticated
  using (user_id = (select public.current_user_id()));

alter table public.subscription_grants enable row level security;
grant select on table public.subscription_grants to authenticated;
create policy subscription_grants_read_own on public.subscription_grants
  for select to authenticated
  using (user_id = (select public.current_user_id()));

-- No policy and no grant: only functions with their definer's rights reach these.
alter table public.plans enable row level security;
alter table private.stripe_returns enable row level security;
alter table private.stripe_events enable row level security;
alter table private.stripe_syncs enable row level security;
