create or replace function private.roll_up_usage(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_event public.usage_events;
  v_bucket timestamptz;
  v_shard constant smallint := pg_backend_pid() % 8;
  v_total public.usage_totals;
begin
  p_events := private.fold_names(p_events);
  -- One event is nearly all there is where few people are about, and is written with a third of the work.
  if cardinality(p_events) = 1 then
    v_event := p_events[1];
    v_bucket := date_bin('15 minutes', v_event.occurred_at, 'epoch');
    perform private.add_to_rollup(row(
      v_event.subject_id, v_bucket, v_event.provider, v_event.model, v_event.source, 1, v_event.prompt_count,
      v_event.input_tokens, v_event.output_tokens, v_event.total_tokens, v_event.cost, coalesce(v_event.nano_usd, 0)
    )::public.usage_rollups);
    perform private.add_to_total(row(
      v_bucket, v_shard, 1, v_event.prompt_count, v_event.input_tokens, v_event.output_tokens, v_event.total_tokens,
      v_event.cost, coalesce(v_event.nano_usd, 0)
    )::public.usage_totals);
    return;
  end if;
  insert into public.usage_rollups as r
  select e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch'), e.provider, e.model, e.source,
         count(*), sum(e.prompt_count), sum(e.input_tokens), sum(e.output_tokens), sum(e.total_tokens), sum(e.cost),
         coalesce(sum(e.nano_usd), 0)
    from unnest(p_events) e
   group by 1, 2, 3, 4, 5
   order by 1, 2, 3, 4, 5
  on conflict (subject_id, bucket, provider, model, source) do update
    set events = r.events + excluded.events,
        prompts = r.prompts + excluded.prompts,
        input_tokens = r.input_tokens + excluded.input_tokens,
        output_tokens = r.output_tokens + excluded.output_tokens,
        total_tokens = r.total_tokens + excluded.total_tokens,
        cost = r.cost + excluded.cost,
        nano_usd = r.nano_usd + excluded.nano_usd;
  for v_total in
    select date_bin('15 minutes', e.occurred_at, 'epoch'), v_shard,
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
