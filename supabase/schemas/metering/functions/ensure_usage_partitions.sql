create or replace function private.ensure_usage_partitions(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_event public.usage_events;
  v_from timestamptz;
  v_to timestamptz;
begin
  foreach v_event in array p_events loop
    -- One question for each month in a row, not for each event.
    if (v_event.occurred_at >= v_from and v_event.occurred_at < v_to) is not true then
      v_from := date_trunc('month', v_event.occurred_at, 'UTC');
      v_to := v_from + interval '28 days';
      perform private.ensure_usage_partition(v_from);
    end if;
  end loop;
end
$$;
comment on function private.ensure_usage_partitions(public.usage_events[]) is 'Creates the partitions these events fall into.';
