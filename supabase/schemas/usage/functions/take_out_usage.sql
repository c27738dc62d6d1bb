create or replace function private.take_out_usage(p_event public.usage_events)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_bucket timestamptz := date_bin('15 minutes', p_event.occurred_at, 'epoch');
  v_left public.usage_totals;
begin
  update public.usage_rollups r
     set events = r.events - 1, prompts = r.prompts - p_event.prompt_count,
         input_tokens = r.input_tokens - p_event.input_tokens, output_tokens = r.output_tokens - p_event.output_tokens,
         total_tokens = r.total_tokens - p_event.total_tokens, cost = r.cost - p_event.cost,
         nano_usd = r.nano_usd - coalesce(p_event.nano_usd, 0)
   where r.subject_id = p_event.subject_id and r.bucket = v_bucket and r.provider = p_event.provider
     and r.model = p_event.model and r.source = p_event.source;
  delete from public.usage_rollups r
   where r.subject_id = p_event.subject_id and r.bucket = v_bucket and r.provider = p_event.provider
     and r.model = p_event.model and r.source = p_event.source and r.events = 0;
  -- The event may have been counted in any shard, so the bucket's shards become one. One deletion at a time: the next
  -- one must see the shard this one leaves.
  perform pg_advisory_xact_lock(hashtextextended('public.usage_totals', extract(epoch from v_bucket)::bigint));
  with gone as (
    delete from public.usage_totals where bucket = v_bucket returning *
  )
  select v_bucket, 0, sum(g.events) - 1, sum(g.prompts) - p_event.prompt_count,
         sum(g.input_tokens) - p_event.input_tokens, sum(g.output_tokens) - p_event.output_tokens,
         sum(g.total_tokens) - p_event.total_tokens, sum(g.cost) - p_event.cost,
         sum(g.nano_usd) - coalesce(p_event.nano_usd, 0)
    into v_left
    from gone g;
  insert into public.usage_totals as t select v_left.* where v_left.events > 0
  on conflict (bucket, shard) do update
    set events = t.events + excluded.events, prompts = t.prompts + excluded.prompts,
        input_tokens = t.input_tokens + excluded.input_tokens, output_tokens = t.output_tokens + excluded.output_tokens,
        total_tokens = t.total_tokens + excluded.total_tokens, cost = t.cost + excluded.cost,
        nano_usd = t.nano_usd + excluded.nano_usd;
end
$$;
comment on function private.take_out_usage(public.usage_events) is 'Takes one event out of its rollup and the totals; empty ones go.';
