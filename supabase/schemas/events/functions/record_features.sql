create or replace function public.record_features(p_items jsonb, p_retention_months integer)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off
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
