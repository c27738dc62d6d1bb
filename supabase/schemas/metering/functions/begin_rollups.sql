create or replace function private.begin_rollups(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_event public.usage_events;
begin
  p_events := private.fold_names(p_events);
  if cardinality(p_events) = 1 then
    v_event := p_events[1];
    perform private.add_to_rollup(row(
      v_event.subject_id, date_bin('15 minutes', v_event.occurred_at, 'epoch'), v_event.provider, v_event.model,
      v_event.source, 1, v_event.prompt_count, v_event.input_tokens, v_event.output_tokens, v_event.total_tokens,
      v_event.cost, coalesce(v_event.nano_usd, 0)
    )::public.usage_rollups);
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
end
$$;
comment on function private.begin_rollups(public.usage_events[]) is
  'Adds events to quarter-hour rollups that may not be there yet, under the names that are told apart.';
