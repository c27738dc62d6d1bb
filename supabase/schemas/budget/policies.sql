-- No policy and no grant: only functions with their definer's rights reach these.
alter table public.budgets enable row level security;
