-- Usage, deletion: a person may take back what was observed of them; rollups and totals follow. What was debited stays.

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
         total_tokens = r.total_tokens - p_event.total_tokens, cost = r.cost - p_event.cost
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
         sum(g.total_tokens) - p_event.total_tokens, sum(g.cost) - p_event.cost
    into v_left
    from gone g;
  insert into public.usage_totals as t select v_left.* where v_left.events > 0
  on conflict (bucket, shard) do update
    set events = t.events + excluded.events, prompts = t.prompts + excluded.prompts,
        input_tokens = t.input_tokens + excluded.input_tokens, output_tokens = t.output_tokens + excluded.output_tokens,
        total_tokens = t.total_tokens + excluded.total_tokens, cost = t.cost + excluded.cost;
end
$$;
revoke all on function private.take_out_usage(public.usage_events) from public, anon, authenticated, service_role;
comment on function private.take_out_usage(public.usage_events) is 'Takes one event out of its rollup and the totals; empty ones go.';

create or replace function public.delete_usage(p_caller jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: events are append-only for every API role.
declare
  v_user_id uuid := private.require_user(p_caller);
  v_event public.usage_events;
begin
  -- Only observed events have ids that say when they happened; what was debited has another and is not found here.
  delete from public.usage_events e
   where e.subject_id = v_user_id and e.occurred_at = private.usage_event_time(p_id) and e.id = p_id
     and e.source = 'extension' and e.cost = 0
  returning * into v_event;
  if v_event.id is null then
    raise sqlstate 'PT404' using message = 'USAGE_NOT_FOUND';
  end if;
  perform private.take_out_usage(v_event);
  return jsonb_build_object('id', p_id, 'deleted', true);
end
$$;
revoke all on function public.delete_usage(jsonb, uuid) from public, anon, authenticated, service_role;
grant execute on function public.delete_usage(jsonb, uuid) to service_role;
comment on function public.delete_usage(jsonb, uuid) is
  'Deletes an observed event of the caller, in its rollups too. Answers {id, deleted}; raises USAGE_NOT_FOUND, also for what was debited.';
