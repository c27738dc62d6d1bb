create or replace function private.pack_rollups(p_from timestamptz, p_until timestamptz, p_subjects uuid[] default null)
returns bigint
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB'
as $$
declare
  v_rollups bigint;
begin
  with
  ordered as (
    select r.*, (extract(epoch from r.bucket - p_from) / 900)::smallint as quarter
      from public.usage_rollups r
     where r.bucket >= p_from and r.bucket < p_until and (p_subjects is null or r.subject_id = any (p_subjects))
     order by r.subject_id, r.provider, r.model, r.source, r.bucket
  ),
  packed as (
    select r.subject_id, r.provider, r.model, r.source, count(*)::integer as rollups, array_agg(r.quarter) as quarters,
           case when min(r.events) = max(r.events) then array[nullif(min(r.events), 1)] else array_agg(r.events) end as events,
           case
             when bool_and(r.prompts = r.events) then null
             when min(r.prompts) = max(r.prompts) then array[min(r.prompts)]
             else array_agg(r.prompts)
           end as prompts,
           case when min(r.input_tokens) = max(r.input_tokens) then array[nullif(min(r.input_tokens), 0)] else array_agg(r.input_tokens) end
             as input_tokens,
           case when min(r.output_tokens) = max(r.output_tokens) then array[nullif(min(r.output_tokens), 0)] else array_agg(r.output_tokens) end
             as output_tokens,
           case
             when bool_and(r.total_tokens = r.input_tokens + r.output_tokens) then null
             when min(r.total_tokens) = max(r.total_tokens) then array[min(r.total_tokens)]
             else array_agg(r.total_tokens)
           end as total_tokens,
           case when min(r.cost) = max(r.cost) then array[nullif(min(r.cost), 0)] else array_agg(r.cost) end as costs,
           case when min(r.nano_usd) = max(r.nano_usd) then array[nullif(min(r.nano_usd), 0)] else array_agg(r.nano_usd) end as nano_usd
      from ordered r
     group by r.subject_id, r.provider, r.model, r.source
  ),
  written as (
    insert into private.archived_rollups (
      subject_id, month, part, provider, model, source, rollups, quarters, events, prompts, input_tokens, output_tokens,
      total_tokens, costs, nano_usd
    )
    select p.subject_id, p_from, row_number() over (partition by p.subject_id), p.provider, p.model, p.source, p.rollups,
           p.quarters, nullif(p.events, '{null}'), p.prompts, nullif(p.input_tokens, '{null}'),
           nullif(p.output_tokens, '{null}'), p.total_tokens, nullif(p.costs, '{null}'), nullif(p.nano_usd, '{null}')
      from packed p
    returning rollups
  )
  select coalesce(sum(w.rollups), 0) into v_rollups from written w;
  return v_rollups;
end
$$;
comment on function private.pack_rollups(timestamptz, timestamptz, uuid[]) is
  'Writes a month''s rollups, or those of some subjects, into the archive, and returns how many; they also stay where they are.';
