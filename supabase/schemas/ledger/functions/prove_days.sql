-- Everybody's totals are proved from the rollups, so sums of days and quarter hours are proved from them, model by model only in full.
create or replace function private.prove_days(p_full boolean)
returns table (place integer, title text, checked bigint, discrepancies jsonb)
language plpgsql stable set search_path = '' set work_mem = '64MB'
as $$
begin
  return query
  with
  days as materialized (
    select s.day from private.summed_days s
     where s.summed_at is not null and not exists (select from private.changed_days c where c.day = s.day)
  ),
  stated as (
    select to_char(d.day, 'YYYY-MM-DD') as part, case when p_full then u.provider end as provider,
           case when p_full then u.model end as model, case when p_full then u.source end as source,
           array[sum(u.events), sum(u.prompts), sum(u.input_tokens), sum(u.output_tokens), sum(u.total_tokens), sum(u.cost),
                 sum(u.nano_usd)] as sums
      from days d join private.daily_usage u on u.day = d.day
     group by 1, 2, 3, 4
    union all
    select to_char(q.bucket at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), case when p_full then q.provider end,
           case when p_full then q.model end, case when p_full then q.source end,
           array[sum(q.events), sum(q.prompts), sum(q.input_tokens), sum(q.output_tokens), sum(q.total_tokens), sum(q.cost),
                 sum(q.nano_usd)]
      from days d join private.quarter_hour_usage q on (q.bucket at time zone 'UTC')::date = d.day
     group by 1, 2, 3, 4
  ),
  quarters as (
    select t.bucket, null as provider, null as model, null as source, t.events, t.prompts, t.input_tokens, t.output_tokens,
           t.total_tokens, t.cost, t.nano_usd
      from public.usage_totals t where not p_full
    union all
    select r.bucket, r.provider, r.model, r.source, r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens,
           r.cost, r.nano_usd
      from public.usage_rollups r where p_full
    union all
    select r.bucket, r.provider, r.model, r.source, r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens,
           r.cost, r.nano_usd
      from private.unpack_rollups('-infinity', 'infinity') r where p_full
  ),
  summed as materialized (
    select q.bucket at time zone 'UTC' as at, q.provider, q.model, q.source,
           sum(q.events) as events, sum(q.prompts) as prompts, sum(q.input_tokens) as input_tokens,
           sum(q.output_tokens) as output_tokens, sum(q.total_tokens) as total_tokens, sum(q.cost) as cost,
           sum(q.nano_usd) as nano_usd
      from quarters q
     group by 1, 2, 3, 4
  ),
  proven as (
    select to_char(b.at, case when p.is_day then 'YYYY-MM-DD' else 'YYYY-MM-DD HH24:MI' end) as part, b.provider, b.model,
           b.source,
           array[sum(b.events), sum(b.prompts), sum(b.input_tokens), sum(b.output_tokens), sum(b.total_tokens), sum(b.cost),
                 sum(b.nano_usd)] as sums
      from summed b
      join days d on d.day = b.at::date
     cross join (values (true), (false)) p(is_day)
     group by 1, 2, 3, 4
  ),
  compared as (
    select concat_ws(' ', coalesce(s.part, p.part), coalesce(s.provider, p.provider), coalesce(s.model, p.model),
                     coalesce(s.source, p.source)) as subject, s.sums as stated, p.sums as proven
      from stated s
      full join proven p
        on p.part = s.part and coalesce(p.provider, '') = coalesce(s.provider, '')
       and coalesce(p.model, '') = coalesce(s.model, '') and coalesce(p.source, '') = coalesce(s.source, '')
  )
  select 13, 'daily sums = sums of rollups', count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', c.subject, 'stated', c.stated, 'proven', c.proven))
             filter (where c.stated is distinct from c.proven),
           '[]'
         )
    from (
      -- Of what was all taken out again there may be sums of nothing, or none.
      select p.subject, coalesce(p.stated, array_fill(0::numeric, '{7}')) as stated,
             coalesce(p.proven, array_fill(0::numeric, '{7}')) as proven
        from compared p
    ) c;
end
$$;
comment on function private.prove_days(boolean) is
  'Proves the sums of days and their quarter hours from everybody''s totals, or with p_full from the rollups, model by model; days that are to be summed anew are not used, and not proved.';
