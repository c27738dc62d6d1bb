create or replace function public.summarize_usage(
  p_from text, p_to text, p_time_zone text, p_group_by text[], p_subjects uuid[] default public.own_subjects()
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC' set plan_cache_mode = 'force_custom_plan'
  -- The planner takes every quarter hour for a group of its own and would sort them all on disk.
  set work_mem = '32MB'
as $$
declare
  v_range record;
  v_unit text := (select g from unnest(p_group_by) g where g in ('day', 'week', 'month') limit 1);
  v_periods date[];
  v_starts timestamptz[];
  -- How many groups make 10,000 rows.
  v_groups integer;
  v_answer jsonb;
begin
  select * into v_range from public.usage_range(p_from, p_to, p_time_zone);
  if v_unit is not null then
    select array_agg(p.day::date order by p.day), array_agg(public.day_start(p.day::date, p_time_zone) order by p.day)
      into v_periods, v_starts
      from generate_series(
        date_trunc(v_unit, v_range.range_from at time zone p_time_zone),
        (v_range.range_to - interval '1 microsecond') at time zone p_time_zone,
        ('1 ' || v_unit)::interval
      ) as p(day);
  end if;
  v_groups := 10000 / coalesce(cardinality(v_periods), 1);

  with sums as materialized (
    -- The rollups are read once, by the key they are kept under.
    select width_bucket(r.bucket, v_starts) as period,
           case when 'provider' = any (p_group_by) then r.provider end as provider,
           case when 'model' = any (p_group_by) then r.model end as model,
           case when 'source' = any (p_group_by) then r.source end as source,
           case when p_group_by && '{device,user}' then r.subject_id end as subject_id,
           sum(r.events) as events, sum(r.prompts) as prompts, sum(r.input_tokens) as input_tokens,
           sum(r.output_tokens) as output_tokens, sum(r.total_tokens) as total_tokens, sum(r.cost) as cost
      from public.usage_rollups r
     where (p_subjects is null or r.subject_id = any (p_subjects))
       and r.bucket >= v_range.range_from and r.bucket < v_range.range_to
     group by 1, 2, 3, 4, 5
  ),
  named as materialized (
    select coalesce(s.period, 0) as period,
           jsonb_build_array(
             s.provider, s.model, s.source,
             case when 'device' = any (p_group_by) then d.id end,
             case when 'user' = any (p_group_by) then coalesce(d.user_id, case when d.id is null then s.subject_id end) end
           ) as names,
           s.events, s.prompts, s.input_tokens, s.output_tokens, s.total_tokens, s.cost
      from sums s left join public.devices d on d.id = s.subject_id
  ),
  ranked as materialized (
    select n.names, row_number() over (order by sum(n.events) desc, n.names) as rank, count(*) over () as groups
      from named n group by n.names
  ),
  -- Where all of them would be too many rows, the rest is one group, marked by a sixth name.
  cells as materialized (
    select n.period,
           case when r.groups <= v_groups or r.rank < v_groups then n.names else jsonb_build_array(
             case when 'provider' = any (p_group_by) then 'other' end,
             case when 'model' = any (p_group_by) then 'other' end,
             case when 'source' = any (p_group_by) then 'other' end, null, null, true
           ) end as names,
           sum(n.events) as events, sum(n.prompts) as prompts, sum(n.input_tokens) as input_tokens,
           sum(n.output_tokens) as output_tokens, sum(n.total_tokens) as total_tokens, sum(n.cost) as cost
      from named n join ranked r on r.names = n.names
     group by 1, 2
  ),
  periods as materialized (
    select coalesce(p.period, 0) as period, p.day
      from (select 1) one left join unnest(v_periods) with ordinality as p(day, period) on true
  ),
  groups as materialized (
    select distinct c.names from cells c
    union
    -- Without names to group by, days without use are days, too.
    select jsonb_build_array(null, null, null, null, null)
     where not p_group_by && '{provider,model,source,device,user}'
  ),
  series as (
    select case when v_unit is not null then jsonb_build_object(v_unit, p.day) else '{}' end
             || coalesce((
               select jsonb_object_agg(n.name, g.names -> (n.position::integer - 1))
                 from unnest(array['provider', 'model', 'source', 'device', 'user']) with ordinality as n(name, position)
                where n.name = any (p_group_by)
             ), '{}')
             || case when jsonb_array_length(g.names) > 5 then '{"other": true}'::jsonb else '{}' end
             || jsonb_build_object(
               'events', coalesce(c.events, 0), 'prompts', coalesce(c.prompts, 0),
               'input_tokens', coalesce(c.input_tokens, 0), 'output_tokens', coalesce(c.output_tokens, 0),
               'total_tokens', coalesce(c.total_tokens, 0), 'cost', coalesce(c.cost, 0)
             ) as item,
           p.period, g.names
      from periods p
     cross join groups g
      left join cells c on c.period = p.period and c.names = g.names
     where cardinality(p_group_by) > 0
  )
  select jsonb_build_object(
    'from', v_range.range_from, 'to', v_range.range_to, 'time_zone', p_time_zone,
    'totals', (
      select jsonb_build_object(
        'events', coalesce(sum(c.events), 0), 'prompts', coalesce(sum(c.prompts), 0),
        'input_tokens', coalesce(sum(c.input_tokens), 0), 'output_tokens', coalesce(sum(c.output_tokens), 0),
        'total_tokens', coalesce(sum(c.total_tokens), 0), 'cost', coalesce(sum(c.cost), 0)
      ) from cells c
    ),
    'series', (select coalesce(jsonb_agg(s.item order by s.period, jsonb_array_length(s.names), s.names), '[]') from series s)
  ) into v_answer;
  return v_answer;
end
$$;
grant execute on function public.summarize_usage(text, text, text, text[], uuid[]) to authenticated;
comment on function public.summarize_usage(text, text, text, text[], uuid[]) is
  'Returns usage of the caller and their devices in a range, from the rollups: {from, to, time_zone, totals, series}, grouped by any of day, week, month (one of them), provider, model, source, device, user; periods without use are there with zeros. Of more than 10,000 rows the groups used least are one, marked by other. Raises RANGE_NOT_VALID.';
