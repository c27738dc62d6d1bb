-- All aggregates see the rows in one order, so that the n-th elements of the arrays belong together. A subject with many events
-- has them by the day, so that a page of them is not unpacked from a whole month.
create or replace function private.pack_events(p_from timestamptz, p_until timestamptz, p_subjects uuid[] default null)
returns bigint
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB' set timezone = 'UTC'
as $$
declare
  v_events bigint;
begin
  with
  events as (
    select e.*, date_trunc(
             case when count(*) over (partition by e.subject_id) > 2000 then 'day' else 'month' end, e.occurred_at
           ) as since
      from public.usage_events e
     where e.occurred_at >= p_from and e.occurred_at < p_until and (p_subjects is null or e.subject_id = any (p_subjects))
  ),
  ordered as (
    select * from events e
     order by e.subject_id, e.since, e.user_id, e.device_id, e.source, e.provider, e.model, e.provenance, e.period,
              e.prompt_count, e.occurred_at, e.id
  ),
  packed as (
    select e.subject_id, e.since, e.user_id, e.device_id, e.source, e.provider, e.model, e.provenance, e.period,
           e.prompt_count, count(*)::integer as events,
           bit_or(1 << extract(day from e.occurred_at)::integer - 1) as days,
           array_agg(e.id) as ids, array_agg(e.occurred_at) as occurred,
           case when not bool_and(e.created_at = e.occurred_at) then array_agg(e.created_at) end as created,
           case when min(e.input_tokens) = max(e.input_tokens) then array[nullif(min(e.input_tokens), 0)] else array_agg(e.input_tokens) end
             as input_tokens,
           case when min(e.output_tokens) = max(e.output_tokens) then array[nullif(min(e.output_tokens), 0)] else array_agg(e.output_tokens) end
             as output_tokens,
           case
             when bool_and(e.total_tokens = e.input_tokens + e.output_tokens) then null
             when min(e.total_tokens) = max(e.total_tokens) then array[min(e.total_tokens)]
             else array_agg(e.total_tokens)
           end as total_tokens,
           case when min(e.cost) = max(e.cost) then array[nullif(min(e.cost), 0)] else array_agg(e.cost) end as costs,
           case
             when count(e.nano_usd) = 0 then null
             when count(e.nano_usd) = count(*) and min(e.nano_usd) = max(e.nano_usd) then array[min(e.nano_usd)]
             else array_agg(e.nano_usd)
           end as nano_usd,
           case
             when count(e.url) = 0 then null
             when count(e.url) = count(*) and min(e.url) = max(e.url) then array[min(e.url)]
             else array_agg(e.url)
           end as urls
      from ordered e
     group by e.subject_id, e.since, e.user_id, e.device_id, e.source, e.provider, e.model, e.provenance, e.period,
              e.prompt_count
  ),
  written as (
    insert into private.archived_events (
      subject_id, since, part, user_id, device_id, source, provider, model, provenance, period, prompt_count, events, days,
      ids, occurred, created, input_tokens, output_tokens, total_tokens, costs, nano_usd, urls
    )
    select p.subject_id, p.since, row_number() over (partition by p.subject_id, p.since), p.user_id, p.device_id, p.source,
           p.provider, p.model, p.provenance, p.period, p.prompt_count, p.events, p.days, p.ids, p.occurred, p.created,
           nullif(p.input_tokens, '{null}'), nullif(p.output_tokens, '{null}'), p.total_tokens, nullif(p.costs, '{null}'),
           p.nano_usd, p.urls
      from packed p
    returning events
  )
  select coalesce(sum(w.events), 0) into v_events from written w;
  return v_events;
end
$$;
comment on function private.pack_events(timestamptz, timestamptz, uuid[]) is
  'Writes a month''s usage events, or those of some subjects, into the archive, and returns how many; they also stay where they are.';
