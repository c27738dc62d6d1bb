-- Nearly always there is a rollup to add to, whose names were told apart when it was made.
create or replace function private.roll_up_usage(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_new public.usage_events[];
  v_total public.usage_totals;
begin
  if cardinality(p_events) = 1 then
    perform private.roll_up_use(p_events[1]);
    return;
  end if;
  v_new := private.add_to_rollups(p_events);
  if v_new is not null then
    perform private.begin_rollups(v_new);
  end if;
  for v_total in
    select date_bin('15 minutes', e.occurred_at, 'epoch'), pg_backend_pid() % 8,
           count(*), sum(e.prompt_count), sum(e.input_tokens), sum(e.output_tokens), sum(e.total_tokens), sum(e.cost),
           coalesce(sum(e.nano_usd), 0)
      from unnest(p_events) e
     group by 1
     order by 1
  loop
    perform private.add_to_total(v_total);
  end loop;
end
$$;
comment on function private.roll_up_usage(public.usage_events[]) is 'Adds events to the quarter-hour rollups and totals.';
