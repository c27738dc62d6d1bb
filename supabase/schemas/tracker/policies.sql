alter table public.tracker_counters enable row level security;
grant select on table public.tracker_counters to authenticated;
create policy tracker_counters_read_own on public.tracker_counters
  for select to authenticated
  using (user_id = (select public.current_user_id()));
