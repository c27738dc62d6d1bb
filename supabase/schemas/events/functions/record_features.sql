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
  -- A client that runs wild fills a day, not the disk: refused ones count as well, and those of a person's devices are theirs.
  demand as (
    select coalesce(j.user_id, j.device_id)::text as subject, count(*) as uses from judged j where j.code is null group by 1
  ),
  spent as (
    insert into private.login_attempts as a (scope, key, attempts, window_ends_at)
    select 'events', d.subject, d.uses, now() + interval '1 day' from demand d order by d.subject
    on conflict (scope, key) do update
      set attempts = case when a.window_ends_at <= now() then 0 else a.attempts end + excluded.attempts,
          window_ends_at = case when a.window_ends_at <= now() then excluded.window_ends_at else a.window_ends_at end
    returning a.key, a.attempts, a.window_ends_at
  ),
  admitted as materialized (
    select j.*, s.window_ends_at,
           date_bin('15 minutes', j.occurred_at, 'epoch') as bucket, date_trunc('day', j.occurred_at, 'UTC') as day,
           j.code is null and s.attempts - d.uses
             + row_number() over (partition by coalesce(j.user_id, j.device_id), j.code is null order by j.ord) <= 5000 as fits
      from judged j
      left join demand d on d.subject = coalesce(j.user_id, j.device_id)::text
      left join spent s on s.key = d.subject
  ),
  recorded as (
    insert into public.feature_events (id, user_id, name, properties, occurred_at, device_id)
    select a.event_id, a.user_id, a.name, a.properties, a.occurred_at, a.device_id from admitted a where a.fits
  ),
  -- Rollups stay, and each name is a row of every summary: only so many of a person and day are kept apart. Calls at the
  -- same moment may each add theirs. Nearly always no name is new.
  fresh as (
    select a.user_id, a.day, a.name, min(a.ord) as ord
      from admitted a
     where a.fits and a.user_id is not null
       and not exists (
         select from public.feature_rollups r where r.user_id = a.user_id and r.bucket = a.bucket and r.name = a.name
       )
     group by 1, 2, 3
  ),
  known as materialized (
    select distinct f.user_id, f.day, r.name
      from (select distinct f.user_id, f.day from fresh f) f
      join public.feature_rollups r
        on r.user_id = f.user_id and r.bucket >= f.day and r.bucket < f.day + interval '24 hours'
  ),
  ranked as (
    select f.user_id, f.day, f.name, row_number() over (partition by f.user_id, f.day order by f.ord) as nth
      from fresh f
     where not exists (select from known k where k.user_id = f.user_id and k.day = f.day and k.name = f.name)
  ),
  folded as materialized (
    select r.user_id, r.day, r.name
      from ranked r
     where r.nth + (select count(*) from known k where k.user_id = r.user_id and k.day = r.day) > 100
  ),
  counted as (
    insert into public.feature_rollups as r (user_id, bucket, name, events)
    select a.user_id, a.bucket, case when f.name is null then a.name else 'other' end, count(*)
      from admitted a
      left join folded f on f.user_id = a.user_id and f.day = a.day and f.name = a.name
     where a.fits and a.user_id is not null
     group by 1, 2, 3
     order by 1, 2, 3
    on conflict (user_id, bucket, name) do update set events = r.events + excluded.events
  )
  select jsonb_agg(
           case
             when a.fits then jsonb_build_object('id', a.event_id, 'recorded', true)
             when a.code is not null then jsonb_build_object('code', a.code)
             else jsonb_build_object(
               'code', 'RATE_LIMITED', 'limit', 'events',
               'retry_after', ceil(extract(epoch from a.window_ends_at - now()))::integer
             )
           end
           order by a.ord
         )
    into v_answers
    from admitted a;
  return v_answers;
end
$$;
grant execute on function public.record_features(jsonb, integer) to service_role;
comment on function public.record_features(jsonb, integer) is
  'Records uses of features, at most 5,000 a day of a person or a device that is nobody''s; of a person and day 100 names are counted apart, further ones as other. Takes an array of {id, session_id | api_key_id, name, properties, timestamp_ms}, with {device_id, token_version} in place of the person''s where a device sends it, returns an array in the same order: {id, recorded}, or {code}.';
