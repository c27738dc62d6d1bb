-- Numbers that extensions send as properties, such as milliseconds. What is read and answered is bounded: of many events
-- the newest 200,000, of many pairs of name and property the 200 that occur most.
create or replace function public.summarize_feature_properties(
  p_from timestamptz, p_to timestamptz, p_name text, p_user_id uuid
)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
  with event as (
    select e.name, e.properties from public.feature_events e
     where e.occurred_at >= p_from and e.occurred_at < p_to
       and (p_name is null or e.name = p_name) and (p_user_id is null or e.user_id = p_user_id)
     order by e.occurred_at desc
     limit 200000
  ),
  summary as (
    select e.name, p.key as property, count(*) as count, trim_scale(round(avg(v.value), 6)) as avg,
           percentile_disc(array[0.5, 0.95]) within group (order by v.value) as percentiles,
           min(v.value) as min, max(v.value) as max
      from event e
     cross join lateral jsonb_each(e.properties) p
     cross join lateral (
       select case when jsonb_typeof(p.value) = 'number' then p.value::numeric end as value
     ) v
     where v.value is not null
     group by e.name, p.key
     order by count(*) desc, e.name, p.key
     limit 200
  )
  select jsonb_agg(
           jsonb_build_object(
             'name', s.name, 'property', s.property, 'count', s.count, 'avg', s.avg, 'p50', s.percentiles[1],
             'p95', s.percentiles[2], 'min', s.min, 'max', s.max
           ) order by s.name, s.property
         )
    from summary s
$$;
grant execute on function public.summarize_feature_properties(timestamptz, timestamptz, text, uuid) to authenticated;
comment on function public.summarize_feature_properties(timestamptz, timestamptz, text, uuid) is
  'Returns the numbers among the properties of uses of features, of one account or of all that the caller may read: [{name, property, count, avg, p50, p95, min, max}]; null where there are none.';
