create or replace function private.record_usage_events(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_event public.usage_events;
begin
  if cardinality(p_events) = 1 then
    v_event := p_events[1];
    perform private.ensure_usage_partition(v_event.occurred_at);
    insert into public.usage_events values (v_event.*);
  else
    perform private.ensure_usage_partitions(p_events);
    insert into public.usage_events select e.* from unnest(p_events) e;
  end if;
  perform private.roll_up_usage(p_events);
end
$$;
comment on function private.record_usage_events(public.usage_events[]) is
  'Inserts usage events and adds them to the quarter-hour rollups and totals.';
