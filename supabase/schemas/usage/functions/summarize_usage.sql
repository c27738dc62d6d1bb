-- In json, not jsonb: it is written once, as text, and read by nobody here.
create or replace function public.summarize_usage(
  p_from text, p_to text, p_time_zone text, p_group_by text[], p_subjects uuid[] default public.own_subjects(),
  p_filter jsonb default '{}', p_top integer default null
)
returns json
language plpgsql stable set search_path = '' set timezone = 'UTC'
  -- The planner takes every quarter hour for a group of its own, and would sort them all on disk, to group and to join them.
  set work_mem = '32MB' set enable_mergejoin = off set jit = off set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_range record;
  v_unit constant text := case
    when 'day' = any (p_group_by) then 'day' when 'week' = any (p_group_by) then 'week'
    when 'month' = any (p_group_by) then 'month'
  end;
  v_provider constant boolean := 'provider' = any (p_group_by);
  v_model constant boolean := 'model' = any (p_group_by);
  v_source constant boolean := 'source' = any (p_group_by);
  v_device constant boolean := 'device' = any (p_group_by);
  v_user constant boolean := 'user' = any (p_group_by);
  v_is_named constant boolean := v_provider or v_model or v_source or v_device or v_user;
  v_periods date[];
  v_starts timestamptz[];
  -- How many groups make 10,000 rows, or as many as are asked for.
  v_groups integer;
  v_subjects uuid[] := case when p_filter ? 'device' then array[(p_filter ->> 'device')::uuid] else p_subjects end;
  v_totals text;
  v_series text;
begin
  if p_filter ? 'device' and (p_filter ->> 'device')::uuid = any (p_subjects) is false then
    v_subjects := '{}';
  end if;
  v_range := public.usage_range(p_from, p_to, p_time_zone);
  if v_unit is not null then
    select array_agg(p.day::date order by p.day), array_agg(
             -- As day_start does, without calling it for each of so many days.
             case
               when (m.start - interval '2 hours') at time zone p_time_zone = p.day - interval '2 hours' then m.start
               else public.day_start(p.day::date, p_time_zone)
             end order by p.day
           )
      into v_periods, v_starts
      from generate_series(
        date_trunc(v_unit, v_range.range_from at time zone p_time_zone),
        (v_range.range_to - interval '1 microsecond') at time zone p_time_zone,
        ('1 ' || v_unit)::interval
      ) as p(day)
     cross join lateral (select p.day at time zone p_time_zone as start) m;
  end if;
  v_groups := least(10000 / coalesce(cardinality(v_periods), 1), p_top);

  with cells as materialized (
    select u.*
      from public.ranked_usage(
        v_subjects, array(select g from unnest(p_group_by) g where g is distinct from v_unit), v_starts,
        v_range.range_from, v_range.range_to, p_filter, v_groups
      ) u
  ),
  groups as (
    select f.rank, f.is_rest,
           row_number() over (
             order by f.is_rest, f.provider nulls first, f.model nulls first, f.source nulls first, f.device nulls first,
                      f."user" nulls first
           ) as position,
           concat_ws(
             ',',
             case when v_provider then '"provider":' || to_json(case when f.is_rest then 'other' else f.provider end) end,
             case when v_model then '"model":' || to_json(case when f.is_rest then 'other' else f.model end) end,
             case when v_source then '"source":' || to_json(case when f.is_rest then 'other' else f.source end) end,
             case when v_device then '"device":' || coalesce(to_json(case when not f.is_rest then f.device end), 'null') end,
             case when v_user then '"user":' || coalesce(to_json(case when not f.is_rest then f."user" end), 'null') end,
             case when f.is_rest then '"other":true' end
           ) as names
      from (select distinct on (c.rank) c.* from cells c order by c.rank) f
    union all
    -- Without names to group by, days without use are days, too.
    select 1, false, 1, '' where not v_is_named and not exists (select from cells)
  ),
  periods as (
    select coalesce(p.period, 0) as period, case when v_unit is not null then format('"%s":"%s"', v_unit, p.day) end as name
      from (select 1) one left join unnest(v_periods) with ordinality as p(day, period) on true
  ),
  -- Each piece of text is made once, however many rows it is in.
  written as (
    select c.period, c.rank,
           format(
             '"events":%s,"prompts":%s,"input_tokens":%s,"output_tokens":%s,"total_tokens":%s,"cost":%s,"nano_usd":%s',
             c.events, c.prompts, c.input_tokens, c.output_tokens, c.total_tokens, c.cost, c.nano_usd
           ) as sums
      from cells c
  ),
  totals as (
    select json_build_object(
      'events', coalesce(sum(c.events), 0), 'prompts', coalesce(sum(c.prompts), 0),
      'input_tokens', coalesce(sum(c.input_tokens), 0), 'output_tokens', coalesce(sum(c.output_tokens), 0),
      'total_tokens', coalesce(sum(c.total_tokens), 0), 'cost', coalesce(sum(c.cost), 0),
      'nano_usd', coalesce(sum(c.nano_usd), 0)
    ) as item from cells c
  ),
  series as (
    select string_agg(
             '{' || concat_ws(
               ',', p.name, nullif(g.names, ''),
               coalesce(
                 w.sums,
                 '"events":0,"prompts":0,"input_tokens":0,"output_tokens":0,"total_tokens":0,"cost":0,"nano_usd":0'
               )
             ) || '}',
             ',' order by p.period, g.position
           ) as items
      from periods p
     cross join groups g
      left join written w on w.period = p.period and w.rank = g.rank
     where v_unit is not null or v_is_named
  )
  select t.item, s.items into v_totals, v_series from totals t cross join series s;
  return format(
    '{"totals":%s,"series":[%s],"from":%s,"to":%s,"time_zone":%s}',
    v_totals, v_series, to_json(v_range.range_from), to_json(v_range.range_to), to_json(p_time_zone)
  );
end
$$;
grant execute on function public.summarize_usage(text, text, text, text[], uuid[], jsonb, integer) to authenticated;
comment on function public.summarize_usage(text, text, text, text[], uuid[], jsonb, integer) is
  'Returns usage of the caller and their devices in a range, from the rollups: {from, to, time_zone, totals, series}, grouped by any of day, week, month (one of them), provider, model, source, device, user, and filtered by any of provider, model, source, device; periods without use are there with zeros. Of more than 10,000 rows, or more groups than p_top, those used least are one, marked by other. Raises RANGE_NOT_VALID.';
