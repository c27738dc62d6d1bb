alter table public.settings enable row level security;
grant select on table public.settings to authenticated;
create policy settings_read_own on public.settings
  for select to authenticated
  using (user_id = (select public.current_user_id()));

alter table public.settings_entries enable row level security;
grant select on table public.settings_entries to authenticated;
create policy settings_entries_read_own on public.settings_entries
  for select to authenticated
  using (user_id = (select public.current_user_id()));

alter table public.settings_versions enable row level security;
grant select on table public.settings_versions to authenticated;
create policy settings_versions_read_own on public.settings_versions
  for select to authenticated
  using (user_id = (select public.current_user_id()));

-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.future_changes enable row level security;
