-- No policy and no grant: only functions with their definer's rights reach these.
alter table public.periods enable row level security;
alter table public.period_balances enable row level security;
