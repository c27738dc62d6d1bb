create or replace function private.roll_up_usage(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
begin
  p_events := private.fold_names(p_events);
  with counted as materialized (
    select e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch') as bucket, e.provider, e.model, e.source,
           count(*) as events, sum(e.prompt_count) as prompts, sum(e.input_tokens) as input_tokens,
           sum(e.output_tokens) as output_tokens, sum(e.total_tokens) as total_tokens, sum(e.cost) as cost,
           coalesce(sum(e.nano_usd), 0) as nano_usd
      from unnest(p_events) e
     group by 1, 2, 3, 4, 5
  ),
  rolled_up as (
    insert into public.usage_rollups as r (
      subject_id, bucket, provider, model, source, events, prompts, input_tokens, output_tokens, total_tokens, cost, nano_usd
    )
    select c.* from counted c order by 1, 2, 3, 4, 5
    on conflict (subject_id, bucket, provider, model, source) do update
      set events = r.events + excluded.events,
          prompts = r.prompts + excluded.prompts,
          input_tokens = r.input_tokens + excluded.input_tokens,
          output_tokens = r.output_tokens + excluded.output_tokens,
          total_tokens = r.total_tokens + excluded.total_tokens,
          cost = r.cost + excluded.cost,
          nano_usd = r.nano_usd + excluded.nano_usd
    returning 1
  )
  insert into public.usage_totals as t (
    bucket, shard, events, prompts, input_tokens, output_tokens, total_tokens, cost, nano_usd
  )
  select c.bucket, pg_backend_pid() % 8, sum(c.events), sum(c.prompts), sum(c.input_tokens), sum(c.output_tokens),
         sum(c.total_tokens), sum(c.cost), sum(c.nano_usd)
    from counted c
   -- Asked first, so that every rollup is written before any total: in the order of locks.
   where (select count(*) from rolled_up) > 0
   group by 1
   order by 1
  on conflict (bucket, shard) do update
    set events = t.events + excluded.events,
        prompts = t.prompts + excluded.prompts,
        input_tokens = t.input_tokens + excluded.input_tokens,
        output_tokens = t.output_tokens + excluded.output_tokens,
        total_tokens = t.total_tokens + excluded.total_tokens,
        cost = t.cost + excluded.cost,
        nano_usd = t.nano_usd + excluded.nano_usd;
end
$$;
comment on function private.roll_up_usage(public.usage_events[]) is 'Adds events to the quarter-hour rollups and totals.';
