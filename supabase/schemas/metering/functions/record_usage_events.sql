create or replace function private.record_usage_events(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
begin
  perform private.ensure_usage_partitions(p_events);
  insert into public.usage_events select e.* from unnest(p_events) e;
  perform private.roll_up_usage(p_events);
end
$$;
comment on function private.record_usage_events(public.usage_events[]) is
  'Inserts usage events and adds them to the quarter-hour rollups and totals.';
