alter table public.usage_events enable row level security;
grant select on table public.usage_events to authenticated;
-- An event a device recorded in somebody's name is theirs: also once the device is no longer linked to them, and never
-- the next owner's.
create policy usage_events_read_own on public.usage_events
  for select to authenticated
  using (
    subject_id = (select public.current_device_id())
    or subject_id = (select public.current_user_id())
    or user_id = (select public.current_user_id())
    or (
      user_id is null
      and subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
    )
  );

alter table public.usage_rollups enable row level security;
grant select on table public.usage_rollups to authenticated;
create policy usage_rollups_read_own on public.usage_rollups
  for select to authenticated
  using (
    subject_id = (select public.current_device_id())
    or subject_id = (select public.current_user_id())
    or subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
  );

alter table public.reservations enable row level security;
grant select on table public.reservations to authenticated;
create policy reservations_read_own on public.reservations
  for select to authenticated
  using (
    subject_id = (select public.current_device_id())
    or subject_id = (select public.current_user_id())
    or subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
  );

-- No policy and no grant: only functions with their definer's rights reach these.
alter table public.usage_totals enable row level security;
alter table public.model_costs enable row level security;
alter table private.idempotency_keys enable row level security;
alter table private.device_keys enable row level security;
alter table private.rollup_names enable row level security;
alter table private.daily_usage enable row level security;
alter table private.quarter_hour_usage enable row level security;
alter table private.daily_subject_usage enable row level security;
alter table private.monthly_subject_usage enable row level security;
alter table private.summed_days enable row level security;
alter table private.changed_days enable row level security;
