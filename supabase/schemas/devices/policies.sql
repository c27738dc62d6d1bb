alter table public.devices enable row level security;
-- A device an admin has removed is not listed, so whether it was must be readable.
grant select (id, user_id, name, blocked, registrations, last_registered_at, created_at, deleted_at)
  on table public.devices to authenticated;
create policy devices_read_own on public.devices
  for select to authenticated
  using (
    id = (select public.current_device_id())
    or user_id = (select public.current_user_id())
  );
