create or replace function public.summarize_all_features(
  p_actor jsonb, p_from text, p_to text, p_time_zone text, p_by_day boolean, p_name text default null
)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: an admin may ask about everybody, which no API role may.
declare
  v_range record;
begin
  perform private.require_admin(p_actor, 'viewer');
  select * into v_range from public.usage_range(p_from, p_to, p_time_zone);
  if v_range.range_to > v_range.range_from + interval '93 days' then
    raise sqlstate 'PT400' using message = 'RANGE_NOT_VALID';
  end if;
  return (
    with cell as (
      select case when p_by_day then (e.occurred_at at time zone p_time_zone)::date end as day, e.name,
             count(*) as events, count(distinct e.user_id) as users,
             count(distinct e.device_id) filter (where e.user_id is null) as devices
        from public.feature_events e
       where e.occurred_at >= v_range.range_from and e.occurred_at < v_range.range_to
         and (p_name is null or e.name = p_name)
       group by 1, 2
    ),
    ranked as (
      select c.*, row_number() over (order by c.events desc, c.day, c.name) > 1000 as is_beyond from cell c
    )
    select jsonb_build_object(
      'from', v_range.range_from, 'to', v_range.range_to, 'time_zone', p_time_zone,
      'totals', jsonb_build_object('events', coalesce(sum(r.events), 0)),
      'omitted', jsonb_build_object(
        'rows', count(*) filter (where r.is_beyond), 'events', coalesce(sum(r.events) filter (where r.is_beyond), 0)
      ),
      'series', coalesce(
        jsonb_agg(
          case when p_by_day then jsonb_build_object('day', r.day) else '{}' end
            || jsonb_build_object('name', r.name, 'events', r.events, 'users', r.users, 'devices', r.devices)
          order by r.day, r.events desc, r.name
        ) filter (where not r.is_beyond), '[]'
      ),
      'properties', coalesce(
        public.summarize_feature_properties(v_range.range_from, v_range.range_to, p_name, null), '[]'
      )
    ) from ranked r
  );
end
$$;
grant execute on function public.summarize_all_features(jsonb, text, text, text, boolean, text) to service_role;
comment on function public.summarize_all_features(jsonb, text, text, text, boolean, text) is
  'Returns how often everybody used each feature in a range of at most 93 days, by how many, and what their numbers were: {from, to, time_zone, totals, omitted, series, properties}; of many rows the greatest 1,000. Raises RANGE_NOT_VALID.';
