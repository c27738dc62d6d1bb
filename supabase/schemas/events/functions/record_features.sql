create or replace function public.record_features(p_items jsonb, p_retention_months integer)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: the only writer of feature events and their rollups.
declare
  v_answers jsonb;
begin
  perform private.hold_users(p_items);
  with item as materialized (
    select r.ord, r.id as user_id, r.name, r.properties, gen_random_uuid() as event_id,
           coalesce(timestamptz 'epoch' + r.timestamp_ms * interval '1 millisecond', now()) as occurred_at,
           private.credential_problem(r.id, r.session_id, r.api_key_id, 'usage:write') as problem
      from rows from (
        jsonb_to_recordset(p_items) as (
          id uuid, session_id uuid, api_key_id uuid, name text, properties jsonb, timestamp_ms bigint
        )
      ) with ordinality as r(id, session_id, api_key_id, name, properties, timestamp_ms, ord)
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
    insert into public.feature_events (id, user_id, name, properties, occurred_at)
    select j.event_id, j.user_id, j.name, j.properties, j.occurred_at from judged j where j.code is null
  ),
  counted as (
    insert into public.feature_rollups as r (user_id, bucket, name, events)
    select j.user_id, date_bin('15 minutes', j.occurred_at, 'epoch'), j.name, count(*)
      from judged j where j.code is null
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
  'Records uses of features. Takes an array of {id, session_id | api_key_id, name, properties, timestamp_ms}, returns an array in the same order: {id, recorded}, or {code}.';
