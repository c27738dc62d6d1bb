-- The kinds of joins that read a table whole, or in another order than that of its key, are out of the question: who adds
-- to several rollups does so in the order of their keys.
create or replace function private.add_to_rollups(p_events public.usage_events[])
returns public.usage_events[]
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_new public.usage_events[];
begin
  with added as (
    update public.usage_rollups r
       set events = r.events + c.events,
           prompts = r.prompts + c.prompts,
           input_tokens = r.input_tokens + c.input_tokens,
           output_tokens = r.output_tokens + c.output_tokens,
           total_tokens = r.total_tokens + c.total_tokens,
           cost = r.cost + c.cost,
           nano_usd = r.nano_usd + c.nano_usd
      from (
        select e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch') as bucket, e.provider, e.model, e.source,
               count(*) as events, sum(e.prompt_count) as prompts, sum(e.input_tokens)::bigint as input_tokens,
               sum(e.output_tokens)::bigint as output_tokens, sum(e.total_tokens)::bigint as total_tokens,
               sum(e.cost)::bigint as cost, coalesce(sum(e.nano_usd), 0)::bigint as nano_usd
          from unnest(p_events) e
         group by 1, 2, 3, 4, 5
         order by 1, 2, 3, 4, 5
      ) c
     where r.subject_id = c.subject_id and r.bucket = c.bucket and r.provider = c.provider and r.model = c.model
       and r.source = c.source
    returning r.subject_id, r.bucket, r.provider, r.model, r.source, c.events
  )
  select case when (select sum(a.events) from added a) is distinct from cardinality(p_events) then array(
           select e from unnest(p_events) e
            where (e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch'), e.provider, e.model, e.source)
              not in (select a.subject_id, a.bucket, a.provider, a.model, a.source from added a)
         ) end
    into v_new;
  return v_new;
end
$$;
comment on function private.add_to_rollups(public.usage_events[]) is
  'Adds events to the quarter-hour rollups there are. Returns those there is none for yet, null where there are none of these.';
