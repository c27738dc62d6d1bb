-- Usage, questions: summaries from the rollups, and the events themselves page by page. The functions have their caller's
-- rights: for a person row-level security answers, for an admin the wrappers below ask for everybody.

-- An admin's list of everybody's newest events, and summaries of everybody over some time.
create index if not exists usage_events_newest_idx on public.usage_events (occurred_at, id);
create index if not exists usage_rollups_bucket_idx on public.usage_rollups using brin (bucket);

create or replace function public.own_subjects()
returns uuid[]
language sql stable set search_path = ''
as $$
  select array_agg(subject_id)
    from (
      select public.require_current_user() as subject_id
      union all
      select d.id from public.devices d where d.user_id = (select public.current_user_id())
    ) own
$$;
revoke all on function public.own_subjects() from public, anon, authenticated, service_role;
grant execute on function public.own_subjects() to authenticated;
comment on function public.own_subjects() is
  'The caller and their devices: whose rows to look for. Row-level security still decides which of them are seen.';

create or replace function private.subjects_of(p_user_id uuid)
returns uuid[]
language sql stable set search_path = ''
as $$
  select case when p_user_id is not null then
    array[p_user_id] || array(select d.id from public.devices d where d.user_id = p_user_id)
  end
$$;
revoke all on function private.subjects_of(uuid) from public, anon, authenticated, service_role;
comment on function private.subjects_of(uuid) is 'An account and its devices; null, for everybody, where no account is named.';

create or replace function public.day_start(p_day date, p_time_zone text)
returns timestamptz
language sql stable set search_path = ''
as $$
  -- Where clocks are set back over midnight the day begins at the first of two midnights; Postgres names the second.
  select min(m.moment)
    from (
      select (p_day::timestamp at time zone p_time_zone) - n * interval '15 minutes' as moment
        from generate_series(0, 8) n
    ) m
   where m.moment at time zone p_time_zone >= p_day::timestamp
$$;
revoke all on function public.day_start(date, text) from public, anon, authenticated, service_role;
grant execute on function public.day_start(date, text) to authenticated;
comment on function public.day_start(date, text) is 'The first moment of a day in a time zone, to the quarter hour.';

create or replace function public.usage_range(
  p_from text, p_to text, p_time_zone text, out range_from timestamptz, out range_to timestamptz
)
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
begin
  -- A date is the whole day where the person is; a time is a moment.
  range_from := case
    when p_from ~ '^\d{4}-\d{2}-\d{2}$' then public.day_start(p_from::date, p_time_zone)
    else p_from::timestamptz
  end;
  range_to := case
    when p_to ~ '^\d{4}-\d{2}-\d{2}$' then public.day_start(p_to::date + 1, p_time_zone)
    else p_to::timestamptz
  end;
  if (
    range_to > range_from and range_to <= range_from + interval '1100 days'
    and date_bin('15 minutes', range_from, 'epoch') = range_from
    and date_bin('15 minutes', range_to, 'epoch') = range_to
  ) is not true then
    raise sqlstate 'PT400' using message = 'RANGE_NOT_VALID';
  end if;
exception
  -- What is no date, no time, no time zone, or out of all bounds.
  when data_exception then
    raise sqlstate 'PT400' using message = 'RANGE_NOT_VALID';
end
$$;
revoke all on function public.usage_range(text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.usage_range(text, text, text) to authenticated;
comment on function public.usage_range(text, text, text) is
  'Reads a range: dates in a time zone, the last one included, or times on whole quarter hours; at most 1,100 days. Raises RANGE_NOT_VALID.';

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
  cells as materialized (
    select coalesce(s.period, 0) as period,
           jsonb_build_array(
             s.provider, s.model, s.source,
             case when 'device' = any (p_group_by) then d.id end,
             case when 'user' = any (p_group_by) then coalesce(d.user_id, case when d.id is null then s.subject_id end) end
           ) as names,
           sum(s.events) as events, sum(s.prompts) as prompts, sum(s.input_tokens) as input_tokens,
           sum(s.output_tokens) as output_tokens, sum(s.total_tokens) as total_tokens, sum(s.cost) as cost
      from sums s left join public.devices d on d.id = s.subject_id
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
  size as materialized (
    select (select count(*) from periods) * (select count(*) from groups) as rows
  ),
  series as (
    select case when v_unit is not null then jsonb_build_object(v_unit, p.day) else '{}' end
             || coalesce((
               select jsonb_object_agg(n.name, g.names -> (n.position::integer - 1))
                 from unnest(array['provider', 'model', 'source', 'device', 'user']) with ordinality as n(name, position)
                where n.name = any (p_group_by)
             ), '{}')
             || jsonb_build_object(
               'events', coalesce(c.events, 0), 'prompts', coalesce(c.prompts, 0),
               'input_tokens', coalesce(c.input_tokens, 0), 'output_tokens', coalesce(c.output_tokens, 0),
               'total_tokens', coalesce(c.total_tokens, 0), 'cost', coalesce(c.cost, 0)
             ) as item,
           p.period, g.names
      from periods p
     cross join groups g
      left join cells c on c.period = p.period and c.names = g.names
     where cardinality(p_group_by) > 0 and (select rows from size) <= 10000
  )
  select jsonb_build_object(
    'from', v_range.range_from, 'to', v_range.range_to, 'time_zone', p_time_zone,
    'rows', (select rows from size),
    'totals', (
      select jsonb_build_object(
        'events', coalesce(sum(c.events), 0), 'prompts', coalesce(sum(c.prompts), 0),
        'input_tokens', coalesce(sum(c.input_tokens), 0), 'output_tokens', coalesce(sum(c.output_tokens), 0),
        'total_tokens', coalesce(sum(c.total_tokens), 0), 'cost', coalesce(sum(c.cost), 0)
      ) from cells c
    ),
    'series', (select coalesce(jsonb_agg(s.item order by s.period, s.names), '[]') from series s)
  ) into v_answer;

  if (v_answer ->> 'rows')::bigint > 10000 then
    raise sqlstate 'PT400' using message = 'SUMMARY_TOO_LARGE';
  end if;
  return v_answer - 'rows';
end
$$;
revoke all on function public.summarize_usage(text, text, text, text[], uuid[]) from public, anon, authenticated, service_role;
grant execute on function public.summarize_usage(text, text, text, text[], uuid[]) to authenticated;
comment on function public.summarize_usage(text, text, text, text[], uuid[]) is
  'Usage of the caller and their devices in a range, from the rollups: {from, to, time_zone, totals, series}, grouped by any of day, week, month (one of them), provider, model, source, device, user; periods without use are there with zeros. Raises RANGE_NOT_VALID, SUMMARY_TOO_LARGE beyond 10,000 rows.';

create or replace function public.usage_page(
  p_subject_id uuid, p_limit integer, p_from timestamptz, p_to timestamptz, p_filter jsonb,
  p_before_at timestamptz, p_before_id uuid
)
returns setof public.usage_events
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
begin
  return query
    select u.* from public.usage_events u
     where (p_subject_id is null or u.subject_id = p_subject_id)
       and u.occurred_at >= p_from and u.occurred_at < p_to
       -- The first of the two leaves out whole months, the second one begins at the place itself.
       and u.occurred_at <= coalesce(p_before_at, 'infinity')
       and (p_before_id is null or (u.occurred_at, u.id) < (p_before_at, p_before_id))
       and (p_filter ->> 'provider' is null or u.provider = p_filter ->> 'provider')
       and (p_filter ->> 'model' is null or u.model = lower(btrim(p_filter ->> 'model')))
       and (p_filter ->> 'source' is null or u.source = p_filter ->> 'source')
       and (p_filter ->> 'device' is null or u.device_id = (p_filter ->> 'device')::uuid)
     order by u.occurred_at desc, u.id desc
     limit p_limit;
end
$$;
revoke all on function public.usage_page(uuid, integer, timestamptz, timestamptz, jsonb, timestamptz, uuid) from public, anon, authenticated, service_role;
grant execute on function public.usage_page(uuid, integer, timestamptz, timestamptz, jsonb, timestamptz, uuid) to authenticated;
comment on function public.usage_page(uuid, integer, timestamptz, timestamptz, jsonb, timestamptz, uuid) is
  'The newest events of one subject, or of everybody the caller may see, before a place.';

create or replace function public.list_usage(
  p_limit integer, p_from text, p_to text, p_time_zone text, p_filter jsonb default '{}',
  p_before_at text default null, p_before_id uuid default null, p_subjects uuid[] default public.own_subjects()
)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
declare
  v_range record;
  v_subjects uuid[] := case
    when p_filter ? 'device' and (p_filter ->> 'device')::uuid = any (p_subjects) is not false
      then array[(p_filter ->> 'device')::uuid]
    when p_filter ? 'device' then '{}'
    else coalesce(p_subjects, array[null::uuid])
  end;
begin
  select * into v_range from public.usage_range(p_from, p_to, p_time_zone);
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.occurred_at desc, page.id desc), '[]')
      from (
        select e.id, e.user_id, e.device_id, e.provider, e.model, e.source, e.prompt_count as prompts, e.input_tokens,
               e.output_tokens, e.total_tokens, e.cost, e.provenance, e.url, e.occurred_at, e.created_at
          from unnest(v_subjects) s(subject_id)
         -- Each subject's newest, by the index; the newest of all are among them.
         cross join lateral public.usage_page(
           s.subject_id, p_limit, v_range.range_from, v_range.range_to, p_filter, p_before_at::timestamptz, p_before_id
         ) e
         order by e.occurred_at desc, e.id desc
         limit p_limit
      ) page
  );
exception
  -- The place to go on from is the caller's word.
  when data_exception then
    raise sqlstate 'PT400' using message = 'VALIDATION_FAILED';
end
$$;
revoke all on function public.list_usage(integer, text, text, text, jsonb, text, uuid, uuid[]) from public, anon, authenticated, service_role;
grant execute on function public.list_usage(integer, text, text, text, jsonb, text, uuid, uuid[]) to authenticated;
comment on function public.list_usage(integer, text, text, text, jsonb, text, uuid, uuid[]) is
  'Usage events of the caller and their devices in a range, newest first, filtered by any of provider, model, source, device; before (time, id) to page on.';

create or replace function public.summarize_all_usage(
  p_actor jsonb, p_from text, p_to text, p_time_zone text, p_group_by text[], p_user_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: an admin may ask about everybody, which no API role may.
begin
  perform private.require_admin(p_actor);
  return public.summarize_usage(p_from, p_to, p_time_zone, p_group_by, private.subjects_of(p_user_id));
end
$$;
revoke all on function public.summarize_all_usage(jsonb, text, text, text, text[], uuid) from public, anon, authenticated, service_role;
grant execute on function public.summarize_all_usage(jsonb, text, text, text, text[], uuid) to service_role;
comment on function public.summarize_all_usage(jsonb, text, text, text, text[], uuid) is
  'summarize_usage for an admin: of everybody, or of one account with its devices.';

create or replace function public.list_all_usage(
  p_actor jsonb, p_limit integer, p_from text, p_to text, p_time_zone text, p_filter jsonb default '{}',
  p_before_at text default null, p_before_id uuid default null, p_user_id uuid default null
)
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: an admin may ask about everybody, which no API role may.
begin
  perform private.require_admin(p_actor);
  return public.list_usage(
    p_limit, p_from, p_to, p_time_zone, p_filter, p_before_at, p_before_id, private.subjects_of(p_user_id)
  );
end
$$;
revoke all on function public.list_all_usage(jsonb, integer, text, text, text, jsonb, text, uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function public.list_all_usage(jsonb, integer, text, text, text, jsonb, text, uuid, uuid) to service_role;
comment on function public.list_all_usage(jsonb, integer, text, text, text, jsonb, text, uuid, uuid) is
  'list_usage for an admin: of everybody, or of one account with its devices.';
