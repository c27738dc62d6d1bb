-- Devices send feature events, admins see everybody's, and the numbers in their properties are summed up.

alter table public.feature_events add column if not exists device_id uuid;
comment on column public.feature_events.device_id is 'The device that sent it, if one did.';
create index if not exists feature_events_user_idx on public.feature_events (user_id, occurred_at, id) where user_id is not null;
create index if not exists feature_events_device_idx on public.feature_events (device_id) where user_id is null;
alter table public.feature_events drop constraint if exists feature_events_pkey;
alter table public.feature_events add constraint feature_events_pkey primary key (id);
alter table public.feature_events alter column user_id drop not null;
comment on column public.feature_events.user_id is 'Whose it is, and goes with; null for a device that is linked to nobody.';
alter table public.feature_events drop constraint if exists feature_events_somebodys;
alter table public.feature_events add constraint feature_events_somebodys check (num_nonnulls(user_id, device_id) > 0);

set check_function_bodies = off;

create or replace function private.forget_devices(p_user_id uuid, p_actor text)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  perform from public.budgets where subject_kind = 'device' for update;
  -- A debit under way holds its device's balance: none records the person after their name was taken out.
  perform from public.balances b
    where b.subject_id in (select d.id from public.devices d where d.first_user_id = p_user_id)
    order by b.subject_id for update;
  perform private.close_device(d.id, p_actor, 'account deleted')
     from public.devices d where d.first_user_id = p_user_id and d.deleted_at is null order by d.id;
  -- What they sent before they were linked.
  delete from public.feature_events e
   where e.user_id is null and e.device_id in (select d.id from public.devices d where d.first_user_id = p_user_id);
  -- Those an admin removed before have a name, too.
  update public.devices set name = 'Deleted device', user_id = null, first_user_id = null where first_user_id = p_user_id;
end
$$;
comment on function private.forget_devices(uuid, text) is
  'Removes all devices that were ever linked to an account that is deleted: their tokens die, and name, fingerprint and owner are blanked.';

create or replace function public.record_features(p_items jsonb, p_retention_months integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of feature events and their rollups.
declare
  v_answers jsonb;
begin
  perform private.hold_users(p_items);
  -- Those of devices are counted for the person they are linked to.
  perform private.hold_users((
    select jsonb_agg(jsonb_build_object('id', d.user_id))
      from jsonb_to_recordset(p_items) as r(device_id uuid) join public.devices d on d.id = r.device_id
     where d.user_id is not null
  ));
  with item as materialized (
    select r.ord, coalesce(r.id, d.user_id) as user_id, r.device_id, r.name, r.properties, gen_random_uuid() as event_id,
           coalesce(timestamptz 'epoch' + r.timestamp_ms * interval '1 millisecond', now()) as occurred_at,
           case
             when r.device_id is null then private.credential_problem(r.id, r.session_id, r.api_key_id, 'usage:write')
             when d.id is null or d.token_version is distinct from r.token_version then 'INVALID_TOKEN'
             when d.blocked then 'DEVICE_BLOCKED'
             when o.suspended_at is not null then 'ACCOUNT_SUSPENDED'
           end as problem
      from rows from (
        jsonb_to_recordset(p_items) as (
          id uuid, session_id uuid, api_key_id uuid, device_id uuid, token_version integer, name text, properties jsonb,
          timestamp_ms bigint
        )
      ) with ordinality as r(id, session_id, api_key_id, device_id, token_version, name, properties, timestamp_ms, ord)
      left join public.devices d on d.id = r.device_id
      left join public.users o on o.id = d.user_id
  ),
  judged as materialized (
    select i.*, case
        when i.problem is not null then i.problem
        when i.occurred_at > now() + interval '5 minutes'
          or i.occurred_at < private.usage_horizon(p_retention_months) then 'TIMESTAMP_OUT_OF_RANGE'
      end as code
      from item i
  ),
  recorded as (
    insert into public.feature_events (id, user_id, name, properties, occurred_at, device_id)
    select j.event_id, j.user_id, j.name, j.properties, j.occurred_at, j.device_id from judged j where j.code is null
  ),
  counted as (
    insert into public.feature_rollups as r (user_id, bucket, name, events)
    select j.user_id, date_bin('15 minutes', j.occurred_at, 'epoch'), j.name, count(*)
      from judged j where j.code is null and j.user_id is not null
     group by 1, 2, 3
     order by 1, 2, 3
    on conflict (user_id, bucket, name) do update set events = r.events + excluded.events
  )
  select jsonb_agg(
           case when j.code is null then jsonb_build_object('id', j.event_id, 'recorded', true)
             else jsonb_build_object('code', j.code) end
           order by j.ord
         )
    into v_answers
    from judged j;
  return v_answers;
end
$$;
grant execute on function public.record_features(jsonb, integer) to service_role;
comment on function public.record_features(jsonb, integer) is
  'Records uses of features. Takes an array of {id, session_id | api_key_id, name, properties, timestamp_ms}, with {device_id, token_version} in place of the person''s where a device sends it, returns an array in the same order: {id, recorded}, or {code}.';

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
      'properties', public.summarize_feature_properties(v_range.range_from, v_range.range_to, p_name, null)
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
  select coalesce(
           jsonb_agg(
             jsonb_build_object(
               'name', s.name, 'property', s.property, 'count', s.count, 'avg', s.avg, 'p50', s.percentiles[1],
               'p95', s.percentiles[2], 'min', s.min, 'max', s.max
             ) order by s.name, s.property
           ), '[]'
         )
    from summary s
$$;
grant execute on function public.summarize_feature_properties(timestamptz, timestamptz, text, uuid) to authenticated;
comment on function public.summarize_feature_properties(timestamptz, timestamptz, text, uuid) is
  'Returns the numbers among the properties of uses of features, of one account or of all that the caller may read: [{name, property, count, avg, p50, p95, min, max}].';

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
      'properties', public.summarize_feature_properties(v_range.range_from, v_range.range_to, p_name, v_user_id)
    ) from cells c
  );
end
$$;
grant execute on function public.summarize_features(text, text, text, boolean, text) to authenticated;
comment on function public.summarize_features(text, text, text, boolean, text) is
  'Returns how often the caller used each feature in a range, also per day: {from, to, time_zone, totals, series, properties}. Raises RANGE_NOT_VALID.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127235844', '5fb9ca455e0f39b3292e9f886f8bb72fcbb2fa3c624ea3a308989d6766fab267');
