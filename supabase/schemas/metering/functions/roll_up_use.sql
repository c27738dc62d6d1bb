-- One event is nearly all there is where few people are about, and is written with a third of the work.
create or replace function private.roll_up_use(p_event public.usage_events)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_bucket constant timestamptz := date_bin('15 minutes', p_event.occurred_at, 'epoch');
begin
  update public.usage_rollups r
     set events = r.events + 1,
         prompts = r.prompts + p_event.prompt_count,
         input_tokens = r.input_tokens + p_event.input_tokens,
         output_tokens = r.output_tokens + p_event.output_tokens,
         total_tokens = r.total_tokens + p_event.total_tokens,
         cost = r.cost + p_event.cost,
         nano_usd = r.nano_usd + coalesce(p_event.nano_usd, 0)
   where r.subject_id = p_event.subject_id and r.bucket = v_bucket and r.provider = p_event.provider
     and r.model = p_event.model and r.source = p_event.source;
  if not found then
    perform private.begin_rollups(array[p_event]);
  end if;
  perform private.add_to_total(row(
    v_bucket, pg_backend_pid() % 8, 1, p_event.prompt_count, p_event.input_tokens, p_event.output_tokens,
    p_event.total_tokens, p_event.cost, coalesce(p_event.nano_usd, 0)
  )::public.usage_totals);
end
$$;
comment on function private.roll_up_use(public.usage_events) is 'Adds one event to its quarter-hour rollup and total.';
