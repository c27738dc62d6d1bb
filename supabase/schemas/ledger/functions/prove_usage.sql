create or replace function private.prove_usage(p_trust_seals boolean)
returns table (place integer, title text, checked bigint, discrepancies jsonb)
language plpgsql stable set search_path = '' set work_mem = '64MB'
as $$
begin
  return query
  with
  scopes as materialized (
    select * from private.usage_scopes(p_trust_seals)
  ),
  sealed as materialized (
    select m.month, m.until from private.usage_months(p_trust_seals) m where m.is_sealed
  ),
  -- Rollups outlive the events retention drops.
  rollups as (
    select c.checked, c.discrepancies
      from scopes s cross join lateral private.compare_rollups(s.month, s.until, s.subject_id) c
     where s.month >= (select min(p.lower_bound) from private.usage_partitions() p)
    union all
    select s.rollups, '[]' from private.sealed_months s join sealed m on m.month = s.month where s.retired_at is null
  ),
  buckets as (
    select r.* from scopes s cross join lateral private.sum_rollups(s.month, s.until) r where s.subject_id is null
    union all
    select r.*
      from (
        select array_agg(distinct c.bucket) as changed, min(c.bucket) as first, max(c.bucket) as last
          from private.changed_usage c join sealed m on m.month = c.month
      ) c
     cross join lateral private.sum_rollups(c.first, c.last + interval '1 microsecond', c.changed) r
    union all
    select t.*
      from private.sealed_totals t
      join sealed m on t.bucket >= m.month and t.bucket < m.until
      left join (select distinct c.bucket from private.changed_usage c) c on c.bucket = t.bucket
     where c.bucket is null
  ),
  totals as (
    select bucket::text as subject,
           (t.events, t.prompts, t.input_tokens, t.output_tokens, t.total_tokens, t.cost, t.nano_usd) is distinct from
           (r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost, r.nano_usd) as differs,
           array[t.events, t.prompts, t.input_tokens, t.output_tokens, t.total_tokens, t.cost, t.nano_usd]::numeric[] as stated,
           array[r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost, r.nano_usd]::numeric[] as proven
      from (
        select bucket, sum(events) as events, sum(prompts) as prompts, sum(input_tokens) as input_tokens,
               sum(output_tokens) as output_tokens, sum(total_tokens) as total_tokens, sum(cost) as cost,
               sum(nano_usd) as nano_usd
          from public.usage_totals group by bucket
      ) t
      full join buckets r using (bucket)
  ),
  tracked_parts as (
    select r.subject_id, r.tracked_prompts as prompts, r.tracked_tokens as tokens
      from private.sealed_rollups r
      join sealed m on m.month = r.month
      left join scopes s on s.month = r.month and s.subject_id = r.subject_id
     where s.month is null and (r.tracked_prompts > 0 or r.tracked_tokens > 0)
    union all
    select r.subject_id, r.prompts, r.total_tokens
      from scopes s
     cross join lateral (
       select u.* from public.usage_rollups u
        where u.bucket >= s.month and u.bucket < s.until and u.source = 'tracker'
     ) r
     where s.subject_id is null
    union all
    select r.subject_id, r.prompts, r.total_tokens
      from scopes s
      join public.usage_rollups r on r.subject_id = s.subject_id and r.bucket >= s.month and r.bucket < s.until
     where r.source = 'tracker'
    union all
    select r.subject_id, r.prompts, r.total_tokens
      from scopes s cross join lateral private.unpack_rollups(s.month, s.until, s.subject_id) r
     where r.source = 'tracker'
  ),
  tracked as (
    select u.id::text as subject, array[coalesce(c.prompts, 0), coalesce(c.tokens, 0)]::numeric[] as stated,
           array[coalesce(r.prompts, 0), coalesce(r.tokens, 0)]::numeric[] as proven
      from public.users u
      left join public.tracker_counters c on c.user_id = u.id
      left join (
        select p.subject_id, sum(p.prompts) as prompts, sum(p.tokens) as tokens from tracked_parts p group by p.subject_id
      ) r on r.subject_id = u.id
     where c.user_id is not null or r.subject_id is not null
  )
  select 4, 'rollups = sums of events', coalesce(sum(r.checked), 0)::bigint,
         coalesce((
           select jsonb_agg(d.found) from rollups r cross join lateral jsonb_array_elements(r.discrepancies) d(found)
         ), '[]')
    from rollups r
  union all
  select 5, 'totals = sums of rollups', count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', t.subject, 'stated', t.stated, 'proven', t.proven)) filter (where t.differs),
           '[]'
         )
    from totals t
  union all
  select 8, 'tracker counters = sums of tracker rollups', count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', t.subject, 'stated', t.stated, 'proven', t.proven))
             filter (where t.stated is distinct from t.proven),
           '[]'
         )
    from tracked t;
end
$$;
comment on function private.prove_usage(boolean) is
  'Recomputes rollups from events, totals and tracker counters from rollups; what sealed months add up to is taken from their seals, if these are trusted.';
