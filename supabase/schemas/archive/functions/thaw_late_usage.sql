create or replace function private.thaw_late_usage(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_running constant timestamptz := date_trunc('month', now(), 'UTC');
begin
  -- Nearly always: nothing is of a month that is over.
  if not exists (select from unnest(p_events) e where e.occurred_at < v_running) then
    return;
  end if;
  perform private.thaw_usage(s.subject_id, s.month)
     from (
       select distinct e.subject_id, date_trunc('month', e.occurred_at, 'UTC') as month
         from unnest(p_events) e where e.occurred_at < v_running
        order by 1, 2
     ) s;
end
$$;
comment on function private.thaw_late_usage(public.usage_events[]) is
  'Makes room for events of months that are over, in the order of their subjects and months.';
