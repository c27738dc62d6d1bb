-- Features: which functions of an extension people use. Counted, never metered.

create table if not exists public.feature_events (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null references public.users (id) on delete cascade,
  name text not null check (length(name) between 1 and 100),
  properties jsonb not null default '{}' check (jsonb_typeof(properties) = 'object'),
  occurred_at timestamptz not null,
  created_at timestamptz not null default now(),
  primary key (user_id, occurred_at, id)
);
create index if not exists feature_events_time_idx on public.feature_events using brin (occurred_at);
comment on table public.feature_events is 'One row per use of a feature, as the extension reports it; dropped by retention like usage events.';
comment on column public.feature_events.id is 'The event''s id.';
comment on column public.feature_events.user_id is 'Whose it is; goes with the account.';
comment on column public.feature_events.name is 'Name of the feature, as the extension calls it.';
comment on column public.feature_events.properties is 'What the extension says about it: one flat object.';
comment on column public.feature_events.occurred_at is 'When it was used.';
comment on column public.feature_events.created_at is 'When it was recorded.';

create table if not exists public.feature_rollups (
  user_id uuid not null references public.users (id) on delete cascade,
  bucket timestamptz not null,
  name text not null,
  events bigint not null check (events > 0),
  primary key (user_id, bucket, name)
) with (fillfactor = 70);
comment on table public.feature_rollups is 'Feature events per person and quarter hour, written in the same transaction as the events.';
comment on column public.feature_rollups.user_id is 'Whose they are.';
comment on column public.feature_rollups.bucket is 'Start of the quarter hour (UTC).';
comment on column public.feature_rollups.name is 'Name of the feature.';
comment on column public.feature_rollups.events is 'How often it was used.';

do $$
declare
  v_table text;
begin
  foreach v_table in array array['feature_events', 'feature_rollups'] loop
    execute format('alter table public.%I enable row level security', v_table);
    execute format('revoke all on table public.%I from anon, authenticated, service_role', v_table);
    execute format('grant select on table public.%I to authenticated', v_table);
    execute format('drop policy if exists %I on public.%I', v_table || '_read_own', v_table);
    execute format(
      'create policy %I on public.%I for select to authenticated using (user_id = (select public.current_user_id()))',
      v_table || '_read_own', v_table
    );
  end loop;
end
$$;

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
           private.is_live(r.id, r.session_id, r.api_key_id) as live
      from rows from (
        jsonb_to_recordset(p_items) as (
          id uuid, session_id uuid, api_key_id uuid, name text, properties jsonb, timestamp_ms bigint
        )
      ) with ordinality as r(id, session_id, api_key_id, name, properties, timestamp_ms, ord)
  ),
  judged as materialized (
    select i.*, case
        when not i.live then 'INVALID_TOKEN'
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
revoke all on function public.record_features(jsonb, integer) from public, anon, authenticated, service_role;
grant execute on function public.record_features(jsonb, integer) to service_role;
comment on function public.record_features(jsonb, integer) is
  'Records uses of features. Takes an array of {id, session_id | api_key_id, name, properties, timestamp_ms}, answers an array in the same order: {id, recorded}, or {code}.';

create or replace function private.prune_features(p_retention_months integer)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_pruned integer;
begin
  delete from public.feature_events e
   where e.occurred_at < (date_trunc('month', now() at time zone 'UTC') - make_interval(months => p_retention_months))
           at time zone 'UTC';
  get diagnostics v_pruned = row_count;
  return v_pruned;
end
$$;
revoke all on function private.prune_features(integer) from public, anon, authenticated, service_role;
comment on function private.prune_features(integer) is
  'Deletes feature events older than what is kept; answers how many. Rollups stay.';

create or replace function public.summarize_features(
  p_from text, p_to text, p_time_zone text, p_by_day boolean, p_name text default null
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
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
      )
    ) from cells c
  );
end
$$;
revoke all on function public.summarize_features(text, text, text, boolean, text) from public, anon, authenticated, service_role;
grant execute on function public.summarize_features(text, text, text, boolean, text) to authenticated;
comment on function public.summarize_features(text, text, text, boolean, text) is
  'How often the caller used each feature in a range, also per day: {from, to, time_zone, totals, series}. Raises RANGE_NOT_VALID.';

create or replace function public.export_feature_events(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) - 'user_id' order by page.occurred_at, page.id), '[]')
      from (
        select e.* from public.feature_events e
         where e.user_id = v_user_id and (e.occurred_at, e.id) > (p_after_at, p_after_id)
         order by e.occurred_at, e.id
         limit p_limit
      ) page
  );
end
$$;
revoke all on function public.export_feature_events(integer, timestamptz, uuid) from public, anon, authenticated, service_role;
grant execute on function public.export_feature_events(integer, timestamptz, uuid) to authenticated;
comment on function public.export_feature_events(integer, timestamptz, uuid) is
  'The caller''s uses of features, oldest first; after (time, id) to page on.';
