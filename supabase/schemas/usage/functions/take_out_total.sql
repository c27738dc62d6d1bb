create or replace function private.take_out_total(p_gone public.usage_totals)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_left public.usage_totals;
begin
  -- Events may have been counted in any shard, so the bucket's shards become one. One deletion at a time: the next
  -- one must see the shard this one leaves.
  perform pg_advisory_xact_lock(hashtextextended('public.usage_totals', extract(epoch from p_gone.bucket)::bigint));
  with gone as (
    delete from public.usage_totals where bucket = p_gone.bucket returning *
  )
  select p_gone.bucket, 0, sum(g.events) - p_gone.events, sum(g.prompts) - p_gone.prompts,
         sum(g.input_tokens) - p_gone.input_tokens, sum(g.output_tokens) - p_gone.output_tokens,
         sum(g.total_tokens) - p_gone.total_tokens, sum(g.cost) - p_gone.cost
    into v_left
    from gone g;
  insert into public.usage_totals as t select v_left.* where v_left.events > 0
  on conflict (bucket, shard) do update
    set events = t.events + excluded.events, prompts = t.prompts + excluded.prompts,
        input_tokens = t.input_tokens + excluded.input_tokens, output_tokens = t.output_tokens + excluded.output_tokens,
        total_tokens = t.total_tokens + excluded.total_tokens, cost = t.cost + excluded.cost;
end
$$;
comment on function private.take_out_total(public.usage_totals) is
  'Takes what events of a quarter hour added up to out of everybody''s total of it; its shard does not matter. An empty total goes.';
