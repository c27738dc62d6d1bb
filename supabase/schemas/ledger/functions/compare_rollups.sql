create or replace function private.compare_rollups(
  p_from timestamptz, p_until timestamptz, p_subject_id uuid default null, out checked bigint, out discrepancies jsonb
)
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan' set work_mem = '64MB'
as $$
declare
  v_full boolean := exists (
    select from private.rollup_names n
     where n.day >= (p_from at time zone 'UTC')::date and n.day < (p_until at time zone 'UTC')::date
       and (p_subject_id is null or n.subject_id = p_subject_id)
     group by n.subject_id, n.day having count(*) >= private.rollup_name_limit()
  );
begin
  with full_days as (
    select n.subject_id, n.day
      from private.rollup_names n
     where v_full and n.day >= (p_from at time zone 'UTC')::date and n.day < (p_until at time zone 'UTC')::date
       and (p_subject_id is null or n.subject_id = p_subject_id)
     group by n.subject_id, n.day having count(*) >= private.rollup_name_limit()
  ),
  recorded as not materialized (
    select * from public.usage_events e
     where e.occurred_at >= p_from and e.occurred_at < p_until and (p_subject_id is null or e.subject_id = p_subject_id)
    union all
    select * from private.unpack_events(p_from, p_until, p_subject_id)
  ),
  named as (
    select e.subject_id, e.occurred_at, e.provider, e.model, e.source, e.prompt_count, e.input_tokens, e.output_tokens,
           e.total_tokens, e.cost, e.nano_usd
      from recorded e
     where not v_full
    union all
    select e.subject_id, e.occurred_at,
           case when f.day is null or n.day is not null then e.provider else 'other' end,
           case when f.day is null or n.day is not null then e.model else 'other' end, e.source, e.prompt_count,
           e.input_tokens, e.output_tokens, e.total_tokens, e.cost, e.nano_usd
      from recorded e
      left join full_days f on f.subject_id = e.subject_id and f.day = (e.occurred_at at time zone 'UTC')::date
      left join private.rollup_names n
        on n.subject_id = f.subject_id and n.day = f.day and n.provider = e.provider and n.model = e.model
     where v_full
  ),
  events as (
    select n.subject_id, date_bin('15 minutes', n.occurred_at, 'epoch') as bucket, n.provider, n.model, n.source,
           count(*) as events, sum(n.prompt_count) as prompts, sum(n.input_tokens) as input_tokens,
           sum(n.output_tokens) as output_tokens, sum(n.total_tokens) as total_tokens, sum(n.cost) as cost,
           coalesce(sum(n.nano_usd), 0) as nano_usd
      from named n
     group by 1, 2, 3, 4, 5
  ),
  rollups as (
    select * from public.usage_rollups r
     where r.bucket >= p_from and r.bucket < p_until and (p_subject_id is null or r.subject_id = p_subject_id)
    union all
    select * from private.unpack_rollups(p_from, p_until, p_subject_id)
  ),
  compared as (
    select subject_id,
           (r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost, r.nano_usd) is distinct from
           (e.events, e.prompts, e.input_tokens, e.output_tokens, e.total_tokens, e.cost, e.nano_usd) as differs,
           array[r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost, r.nano_usd]::numeric[] as stated,
           array[e.events, e.prompts, e.input_tokens, e.output_tokens, e.total_tokens, e.cost, e.nano_usd]::numeric[] as proven
      from rollups r full join events e using (subject_id, bucket, provider, model, source)
  )
  select count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', c.subject_id, 'stated', c.stated, 'proven', c.proven)) filter (where c.differs),
           '[]'
         )
    into checked, discrepancies
    from compared c;
end
$$;
comment on function private.compare_rollups(timestamptz, timestamptz, uuid) is
  'Compares the rollups of a month, or of one subject in it, with what the events add up to; returns how many, and the differences.';
