create or replace function private.break_seals()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  delete from private.sealed_totals;
  delete from private.sealed_rollups;
  delete from private.sealed_events;
  delete from private.sealed_months;
  return null;
end
$$;
comment on function private.break_seals() is 'Trigger: takes every seal away, so that all months are proved from their rows again.';
