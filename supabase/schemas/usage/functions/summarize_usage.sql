create or replace function public.summarize_usage(
  p_from text, p_to text, p_time_zone text, p_group_by text[], p_subjects uuid[] default public.own_subjects()
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
  -- The planner takes every quarter hour for a group of its own, and would sort them all on disk, to group and to join them.
  set work_mem = '32MB' set enable_mergejoin = off set jit = off
as $$
declare
  v_range record;
  v_unit text := (select g from unnest(p_group_by) g where g in ('day', 'week', 'month') limit 1);
  v_names text[] := array(
    select n from unnest(array['provider', 'model', 'source', 'device', 'user']) with ordinality as known(n, position)
     where n = any (p_group_by) order by position
  );
  v_subjects boolean := v_names && '{device,user}';
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

  -- Names of a closed list only, and only those that are asked for, so that nothing is grouped, compared or shown in vain.
  execute format(
    $query$
      with sums as materialized (
        select width_bucket(r.bucket, $1) as period, %1$s as provider, %2$s as model, %3$s as source, %4$s as subject_id,
               sum(r.events) as events, sum(r.prompts) as prompts, sum(r.input_tokens) as input_tokens,
               sum(r.output_tokens) as output_tokens, sum(r.total_tokens) as total_tokens, sum(r.cost) as cost,
               sum(r.nano_usd) as nano_usd
          from %5$s r
         where %6$s and r.bucket >= $3 and r.bucket < $4
         group by 1, 2, 3, 4, 5
      ),
      named as materialized (
        select coalesce(s.period, 0) as period, s.provider, s.model, s.source, %7$s as device, %8$s as "user",
               s.events, s.prompts, s.input_tokens, s.output_tokens, s.total_tokens, s.cost, s.nano_usd
          from sums s %9$s
      ),
      ranked as materialized (
        select n.provider, n.model, n.source, n.device, n."user", count(*) over () as groups,
               row_number() over (
                 order by sum(n.events) desc, n.provider nulls first, n.model nulls first, n.source nulls first,
                          n.device nulls first, n."user" nulls first
               ) as rank
          from named n group by 1, 2, 3, 4, 5
      ),
      -- Where all of them would be too many rows, the rest is one group, the last.
      cells as materialized (
        select n.period, case when r.groups <= $5 then r.rank else least(r.rank, $5) end as rank,
               sum(n.events) as events, sum(n.prompts) as prompts, sum(n.input_tokens) as input_tokens,
               sum(n.output_tokens) as output_tokens, sum(n.total_tokens) as total_tokens, sum(n.cost) as cost,
               sum(n.nano_usd) as nano_usd
          from named n
          join ranked r
            on coalesce(r.provider, '') = coalesce(n.provider, '') and coalesce(r.model, '') = coalesce(n.model, '')
           and coalesce(r.source, '') = coalesce(n.source, '') and coalesce(r.device, $6) = coalesce(n.device, $6)
           and coalesce(r."user", $6) = coalesce(n."user", $6)
         group by 1, 2
      ),
      groups as (
        select r.rank, f.is_rest, r.provider, r.model, r.source, case when not f.is_rest then r.device end as device,
               case when not f.is_rest then r."user" end as "user"
          from ranked r cross join lateral (select r.groups > $5 and r.rank = $5 as is_rest) f
         where r.rank <= $5
        union all
        -- Without names to group by, days without use are days, too.
        select 1, false, null, null, null, null, null where %10$L and not exists (select from ranked)
      ),
      periods as (
        select coalesce(p.period, 0) as period, p.day
          from (select 1) one left join unnest($7) with ordinality as p(day, period) on true
      ),
      series as (
        select jsonb_build_object(
                 %11$s 'events', coalesce(c.events, 0), 'prompts', coalesce(c.prompts, 0),
                 'input_tokens', coalesce(c.input_tokens, 0), 'output_tokens', coalesce(c.output_tokens, 0),
                 'total_tokens', coalesce(c.total_tokens, 0), 'cost', coalesce(c.cost, 0),
                 'nano_usd', coalesce(c.nano_usd, 0)
               ) || case when g.is_rest then '{"other": true}'::jsonb else '{}' end as item,
               p.period, g.*
          from periods p
         cross join groups g
          left join cells c on c.period = p.period and c.rank = g.rank
         where %12$L
      ),
      totals as (
        select jsonb_build_object(
          'events', coalesce(sum(c.events), 0), 'prompts', coalesce(sum(c.prompts), 0),
          'input_tokens', coalesce(sum(c.input_tokens), 0), 'output_tokens', coalesce(sum(c.output_tokens), 0),
          'total_tokens', coalesce(sum(c.total_tokens), 0), 'cost', coalesce(sum(c.cost), 0),
          'nano_usd', coalesce(sum(c.nano_usd), 0)
        ) as item from cells c
      ),
      listed as (
        select coalesce(
                 jsonb_agg(
                   s.item order by s.period, s.is_rest, s.provider nulls first, s.model nulls first, s.source nulls first,
                                   s.device nulls first, s."user" nulls first
                 ), '[]'
               ) as items from series s
      )
      select jsonb_build_object('totals', t.item, 'series', l.items) from totals t cross join listed l
    $query$,
    case when 'provider' = any (v_names) then 'r.provider' else 'null::text' end,
    case when 'model' = any (v_names) then 'r.model' else 'null::text' end,
    case when 'source' = any (v_names) then 'r.source' else 'null::text' end,
    case when v_subjects then 'r.subject_id' else 'null::uuid' end,
    -- Everybody's use is summed already. It has no row-level security, and nobody but an admin's function may read it.
    case
      when p_subjects is null and v_names = '{}' and has_table_privilege('public.usage_totals', 'select') then 'public.usage_totals'
      else 'public.usage_rollups'
    end,
    case when p_subjects is null then '$2 is null' else 'r.subject_id = any ($2)' end,
    case when 'device' = any (v_names) then 'd.id' else 'null::uuid' end,
    case
      when 'user' = any (v_names) then 'coalesce(d.user_id, case when d.id is null then s.subject_id end)'
      else 'null::uuid'
    end,
    case when v_subjects then 'left join public.devices d on d.id = s.subject_id' else '' end,
    v_names = '{}',
    case when v_unit is not null then format('%L, p.day, ', v_unit) else '' end || coalesce((
      select string_agg(
               case
                 when n in ('device', 'user') then format('%L, g.%I, ', n, n)
                 else format('%L, case when g.is_rest then ''other'' else g.%I end, ', n, n)
               end, '' order by position
             )
        from unnest(v_names) with ordinality as asked(n, position)
    ), ''),
    cardinality(p_group_by) > 0
  )
  into v_answer
  using v_starts, p_subjects, v_range.range_from, v_range.range_to, v_groups, '00000000-0000-0000-0000-000000000000'::uuid,
        v_periods;
  return v_answer || jsonb_build_object('from', v_range.range_from, 'to', v_range.range_to, 'time_zone', p_time_zone);
end
$$;
grant execute on function public.summarize_usage(text, text, text, text[], uuid[]) to authenticated;
comment on function public.summarize_usage(text, text, text, text[], uuid[]) is
  'Returns usage of the caller and their devices in a range, from the rollups: {from, to, time_zone, totals, series}, grouped by any of day, week, month (one of them), provider, model, source, device, user; periods without use are there with zeros. Of more than 10,000 rows the groups used least are one, marked by other. Raises RANGE_NOT_VALID.';
