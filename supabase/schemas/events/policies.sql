alter table public.feature_events enable row level security;
grant select on table public.feature_events to authenticated;
create policy feature_events_read_own on public.feature_events
  for select to authenticated
  using (user_id = (select public.current_user_id()));

alter table public.feature_rollups enable row level security;
grant select on table public.feature_rollups to authenticated;
create policy feature_rollups_read_own on public.feature_rollups
  for select to authenticated
  using (user_id = (select public.current_user_id()));
