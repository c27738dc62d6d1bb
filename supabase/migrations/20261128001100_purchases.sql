-- TO DESCRIBE: what changes, and why.

set check_function_bodies = off;

create or replace function public.get_purchase(p_user_id uuid, p_subscription_id text)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
-- Definer: whoever has the id of a payment page that was paid sees what was bought on it, without a session.
begin
  return jsonb_build_object('bought', (
    select jsonb_build_object(
             'tier', g.tier, 'period_start', g.period_start, 'period_end', g.period_end,
             'tokens_granted', g.granted_tokens
           )
      from public.subscription_grants g
     where g.user_id = p_user_id and g.stripe_subscription_id = p_subscription_id
     order by g.created_at, g.id
     limit 1
  ));
end
$$;
grant execute on function public.get_purchase(uuid, text) to service_role;
comment on function public.get_purchase(uuid, text) is
  'Returns what the first payment of a subscription bought: {bought: {tier, period_start, period_end, tokens_granted}}, null before it has arrived here.';

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

create or replace function public.summarize_features(
  p_from text, p_to text, p_time_zone text, p_by_day boolean, p_name text default null
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user('usage:read');
  v_range record;
begin
  select * into v_range from public.usage_range(p_from, p_to, p_time_zone);
  return (
    with cells as (
      select case when p_by_day then (r.bucket at time zone p_time_zone)::date end as day, r.name,
             sum(r.events)::bigint as events
        from public.feature_rollups r
       where r.user_id = v_user_id and r.bucket >= v_range.range_from and r.bucket < v_range.range_to
         and (p_name is null or r.name = p_name)
       group by 1, 2
    )
    select jsonb_build_object(
      'from', v_range.range_from, 'to', v_range.range_to, 'time_zone', p_time_zone,
      'totals', jsonb_build_object('events', coalesce(sum(c.events), 0)),
      'series', coalesce(
        jsonb_agg(
          case when p_by_day then jsonb_build_object('day', c.day) else '{}' end
            || jsonb_build_object('name', c.name, 'events', c.events)
          order by c.day, c.events desc, c.name
        ), '[]'
      ),
      'properties', coalesce(
        public.summarize_feature_properties(v_range.range_from, v_range.range_to, p_name, v_user_id), '[]'
      )
    ) from cells c
  );
end
$$;
grant execute on function public.summarize_features(text, text, text, boolean, text) to authenticated;
comment on function public.summarize_features(text, text, text, boolean, text) is
  'Returns how often the caller used each feature in a range, also per day: {from, to, time_zone, totals, series, properties}. Raises RANGE_NOT_VALID.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261128001100', '7a1b1c967384f572259f440ac5fa951670dfa8322eafe5736b7a0fdff3f9a557');
