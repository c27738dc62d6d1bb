alter table public.balances enable row level security;
grant select on table public.balances to authenticated;
create policy balances_read_own on public.balances
  for select to authenticated
  using (
    subject_id = (select public.current_device_id())
    or subject_id = (select public.current_user_id())
    or subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
  );

alter table public.ledger_entries enable row level security;
grant select on table public.ledger_entries to authenticated;
create policy ledger_entries_read_own on public.ledger_entries
  for select to authenticated
  using (
    subject_id = (select public.current_device_id())
    or subject_id = (select public.current_user_id())
    or subject_id in (select d.id from public.devices d where d.user_id = (select public.current_user_id()))
  );

-- No policy and no grant: only functions with their definer's rights reach these.
alter table private.retired_usage enable row level security;
alter table private.ledger_checks enable row level security;
alter table private.sealed_months enable row level security;
alter table private.sealed_events enable row level security;
alter table private.sealed_rollups enable row level security;
alter table private.sealed_totals enable row level security;
alter table private.changed_usage enable row level security;
