-- One account's thousands of model names are no longer thousands of rows in everybody's summaries.

create table if not exists private.rollup_names (
  subject_id uuid not null,
  day date not null,
  provider text not null,
  model text not null,
  primary key (subject_id, day, provider, model)
);
create index if not exists rollup_names_day_idx on private.rollup_names using brin (day);
comment on table private.rollup_names is
  'The providers and models the rollups of a subject and day (UTC) tell apart, the first hundred to come; all others are counted as other. Kept as long as the events.';
comment on column private.rollup_names.subject_id is 'The device or user.';
comment on column private.rollup_names.day is 'The day (UTC).';
comment on column private.rollup_names.provider is 'The AI provider.';
comment on column private.rollup_names.model is 'The model.';
alter table private.rollup_names enable row level security;
-- What the rollups told apart until now stays so.
insert into private.rollup_names (subject_id, day, provider, model)
select distinct r.subject_id, (r.bucket at time zone 'UTC')::date, r.provider, r.model
  from public.usage_rollups r
 where r.bucket >= (select min(to_timestamp(right(c.relname, 7), 'YYYY_MM')::timestamp at time zone 'UTC')
                      from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
                     where i.inhparent = 'public.usage_events'::regclass)
    on conflict do nothing;

set check_function_bodies = off;

create or replace function private.device_models_this_month(p_device_id uuid)
returns jsonb
language sql stable set search_path = ''
as $$
  select coalesce(jsonb_agg(to_jsonb(m) - 'is_rest' order by m.is_rest, m.cost desc, m.model), '[]')
    from (
      select r.rank > 20 as is_rest, case when r.rank > 20 then 'other' else r.model end as model,
             sum(r.events)::bigint as events, sum(r.prompts)::bigint as prompts, sum(r.cost)::bigint as cost
        from (
          select u.model, sum(u.events) as events, sum(u.prompts) as prompts, sum(u.cost) as cost,
                 row_number() over (order by sum(u.cost) desc, u.model) as rank
            from public.usage_rollups u
           where u.subject_id = p_device_id and u.bucket >= date_trunc('month', now(), 'UTC')
           group by u.model
        ) r
       group by 1, 2
    ) m
$$;
comment on function private.device_models_this_month(uuid) is
  'Returns a device''s usage in the current month (UTC) by model: the 20 it used most, and the rest as other.';

-- Drops the months that lie entirely before the horizon; what they debited stays in the books.
create or replace function private.drop_old_usage(p_horizon timestamptz)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_partition text;
  v_dropped integer := 0;
begin
  for v_partition in
    select p.name from private.usage_partitions() p
     where (p.lower_bound at time zone 'UTC' + interval '1 month') at time zone 'UTC' <= p_horizon
     order by p.name
  loop
    execute format(
      $query$
        insert into private.retired_usage as u (subject_id, period, cost)
        select subject_id, period, sum(cost) from private.%I where cost > 0 group by subject_id, period
        on conflict (subject_id, period) do update set cost = u.cost + excluded.cost
      $query$, v_partition
    );
    execute format('drop table private.%I', v_partition);
    v_dropped := v_dropped + 1;
  end loop;
  if v_dropped > 0 then
    delete from private.rollup_names n
     where n.day < (select min(p.lower_bound) at time zone 'UTC' from private.usage_partitions() p);
  end if;
  return v_dropped;
end
$$;
comment on function private.drop_old_usage(timestamptz) is 'Drops whole months of usage events before a time; returns how many. Rollups stay.';

-- Names come from clients, and each is a row of every summary: only so many of a subject and day are kept apart.
create or replace function private.fold_names(p_events public.usage_events[])
returns public.usage_events[]
language plpgsql volatile set search_path = ''
as $$
declare
  v_new record;
  v_position integer;
begin
  -- Nearly always: no name is new.
  if not exists (
    select from unnest(p_events) e
     where not exists (
       select from private.rollup_names n
        where n.subject_id = e.subject_id and n.day = (e.occurred_at at time zone 'UTC')::date
          and n.provider = e.provider and n.model = e.model
     )
  ) then
    return p_events;
  end if;
  for v_new in
    select e.subject_id, (e.occurred_at at time zone 'UTC')::date as day
      from unnest(p_events) e
     where not exists (
       select from private.rollup_names n
        where n.subject_id = e.subject_id and n.day = (e.occurred_at at time zone 'UTC')::date
          and n.provider = e.provider and n.model = e.model
     )
     group by 1, 2
     order by 1, 2
  loop
    -- One at a time: whoever was here before has left its names.
    perform pg_advisory_xact_lock(hashtextextended('rollup_names ' || v_new.subject_id || v_new.day, 0));
    insert into private.rollup_names (subject_id, day, provider, model)
    select v_new.subject_id, v_new.day, e.provider, e.model
      from unnest(p_events) with ordinality as e
     where e.subject_id = v_new.subject_id and (e.occurred_at at time zone 'UTC')::date = v_new.day
       and not exists (
         select from private.rollup_names n
          where n.subject_id = e.subject_id and n.day = v_new.day and n.provider = e.provider and n.model = e.model
       )
     group by e.provider, e.model
     order by min(e.ordinality)
     limit greatest(private.rollup_name_limit() - (
       select count(*) from private.rollup_names n where n.subject_id = v_new.subject_id and n.day = v_new.day
     ), 0);
  end loop;
  for v_position in 1 .. cardinality(p_events) loop
    p_events[v_position] := private.rolled_up_as(p_events[v_position]);
  end loop;
  return p_events;
end
$$;
comment on function private.fold_names(public.usage_events[]) is
  'Notes the providers and models that are new for a subject and day as long as there is room, and returns the events as rolled_up_as does.';

create or replace function private.roll_up_usage(p_events public.usage_events[])
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  p_events := private.fold_names(p_events);
  insert into public.usage_rollups as r (
    subject_id, bucket, provider, model, source, events, prompts, input_tokens, output_tokens, total_tokens, cost
  )
  select e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch'), e.provider, e.model, e.source,
         count(*), sum(e.prompt_count), sum(e.input_tokens), sum(e.output_tokens), sum(e.total_tokens), sum(e.cost)
    from unnest(p_events) e
   group by 1, 2, 3, 4, 5
   order by 1, 2, 3, 4, 5
  on conflict (subject_id, bucket, provider, model, source) do update
    set events = r.events + excluded.events,
        prompts = r.prompts + excluded.prompts,
        input_tokens = r.input_tokens + excluded.input_tokens,
        output_tokens = r.output_tokens + excluded.output_tokens,
        total_tokens = r.total_tokens + excluded.total_tokens,
        cost = r.cost + excluded.cost;
  insert into public.usage_totals as t (
    bucket, shard, events, prompts, input_tokens, output_tokens, total_tokens, cost
  )
  select date_bin('15 minutes', e.occurred_at, 'epoch'), (pg_backend_pid() % 8)::smallint,
         count(*), sum(e.prompt_count), sum(e.input_tokens), sum(e.output_tokens), sum(e.total_tokens), sum(e.cost)
    from unnest(p_events) e
   group by 1
   order by 1
  on conflict (bucket, shard) do update
    set events = t.events + excluded.events,
        prompts = t.prompts + excluded.prompts,
        input_tokens = t.input_tokens + excluded.input_tokens,
        output_tokens = t.output_tokens + excluded.output_tokens,
        total_tokens = t.total_tokens + excluded.total_tokens,
        cost = t.cost + excluded.cost;
end
$$;
comment on function private.roll_up_usage(public.usage_events[]) is 'Adds events to the quarter-hour rollups and totals.';

-- Names are only ever added until there are enough: what was counted as other once is so for good.
create or replace function private.rolled_up_as(p_event public.usage_events)
returns public.usage_events
language plpgsql stable set search_path = ''
as $$
declare
  v_day date := (p_event.occurred_at at time zone 'UTC')::date;
begin
  if not exists (
       select from private.rollup_names n
        where n.subject_id = p_event.subject_id and n.day = v_day
          and n.provider = p_event.provider and n.model = p_event.model
     )
     and (
       select count(*) from private.rollup_names n where n.subject_id = p_event.subject_id and n.day = v_day
     ) >= private.rollup_name_limit() then
    p_event.provider := 'other';
    p_event.model := 'other';
  end if;
  return p_event;
end
$$;
comment on function private.rolled_up_as(public.usage_events) is
  'Returns an event with the provider and model its rollup has: other where the subject had too many that day.';

create or replace function private.rollup_name_limit()
returns integer
language sql immutable set search_path = ''
as $$
  select 100
$$;
comment on function private.rollup_name_limit() is 'Returns how many models of one subject and day (UTC) the rollups tell apart.';

create or replace function private.take_out_usage(p_event public.usage_events)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_bucket timestamptz := date_bin('15 minutes', p_event.occurred_at, 'epoch');
  v_left public.usage_totals;
begin
  p_event := private.rolled_up_as(p_event);
  update public.usage_rollups r
     set events = r.events - 1, prompts = r.prompts - p_event.prompt_count,
         input_tokens = r.input_tokens - p_event.input_tokens, output_tokens = r.output_tokens - p_event.output_tokens,
         total_tokens = r.total_tokens - p_event.total_tokens, cost = r.cost - p_event.cost
   where r.subject_id = p_event.subject_id and r.bucket = v_bucket and r.provider = p_event.provider
     and r.model = p_event.model and r.source = p_event.source;
  delete from public.usage_rollups r
   where r.subject_id = p_event.subject_id and r.bucket = v_bucket and r.provider = p_event.provider
     and r.model = p_event.model and r.source = p_event.source and r.events = 0;
  -- The event may have been counted in any shard, so the bucket's shards become one. One deletion at a time: the next
  -- one must see the shard this one leaves.
  perform pg_advisory_xact_lock(hashtextextended('public.usage_totals', extract(epoch from v_bucket)::bigint));
  with gone as (
    delete from public.usage_totals where bucket = v_bucket returning *
  )
  select v_bucket, 0, sum(g.events) - 1, sum(g.prompts) - p_event.prompt_count,
         sum(g.input_tokens) - p_event.input_tokens, sum(g.output_tokens) - p_event.output_tokens,
         sum(g.total_tokens) - p_event.total_tokens, sum(g.cost) - p_event.cost
    into v_left
    from gone g;
  insert into public.usage_totals as t select v_left.* where v_left.events > 0
  on conflict (bucket, shard) do update
    set events = t.events + excluded.events, prompts = t.prompts + excluded.prompts,
        input_tokens = t.input_tokens + excluded.input_tokens, output_tokens = t.output_tokens + excluded.output_tokens,
        total_tokens = t.total_tokens + excluded.total_tokens, cost = t.cost + excluded.cost;
end
$$;
comment on function private.take_out_usage(public.usage_events) is 'Takes one event out of its rollup and the totals; empty ones go.';

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
  named as materialized (
    select coalesce(s.period, 0) as period,
           jsonb_build_array(
             s.provider, s.model, s.source,
             case when 'device' = any (p_group_by) then d.id end,
             case when 'user' = any (p_group_by) then coalesce(d.user_id, case when d.id is null then s.subject_id end) end
           ) as names,
           s.events, s.prompts, s.input_tokens, s.output_tokens, s.total_tokens, s.cost
      from sums s left join public.devices d on d.id = s.subject_id
  ),
  ranked as materialized (
    select n.names, row_number() over (order by sum(n.events) desc, n.names) as rank, count(*) over () as groups
      from named n group by n.names
  ),
  -- Where all of them would be too many rows, the rest is one group, marked by a sixth name.
  cells as materialized (
    select n.period,
           case when r.groups <= v_groups or r.rank < v_groups then n.names else jsonb_build_array(
             case when 'provider' = any (p_group_by) then 'other' end,
             case when 'model' = any (p_group_by) then 'other' end,
             case when 'source' = any (p_group_by) then 'other' end, null, null, true
           ) end as names,
           sum(n.events) as events, sum(n.prompts) as prompts, sum(n.input_tokens) as input_tokens,
           sum(n.output_tokens) as output_tokens, sum(n.total_tokens) as total_tokens, sum(n.cost) as cost
      from named n join ranked r on r.names = n.names
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
  series as (
    select case when v_unit is not null then jsonb_build_object(v_unit, p.day) else '{}' end
             || coalesce((
               select jsonb_object_agg(n.name, g.names -> (n.position::integer - 1))
                 from unnest(array['provider', 'model', 'source', 'device', 'user']) with ordinality as n(name, position)
                where n.name = any (p_group_by)
             ), '{}')
             || case when jsonb_array_length(g.names) > 5 then '{"other": true}'::jsonb else '{}' end
             || jsonb_build_object(
               'events', coalesce(c.events, 0), 'prompts', coalesce(c.prompts, 0),
               'input_tokens', coalesce(c.input_tokens, 0), 'output_tokens', coalesce(c.output_tokens, 0),
               'total_tokens', coalesce(c.total_tokens, 0), 'cost', coalesce(c.cost, 0)
             ) as item,
           p.period, g.names
      from periods p
     cross join groups g
      left join cells c on c.period = p.period and c.names = g.names
     where cardinality(p_group_by) > 0
  )
  select jsonb_build_object(
    'from', v_range.range_from, 'to', v_range.range_to, 'time_zone', p_time_zone,
    'totals', (
      select jsonb_build_object(
        'events', coalesce(sum(c.events), 0), 'prompts', coalesce(sum(c.prompts), 0),
        'input_tokens', coalesce(sum(c.input_tokens), 0), 'output_tokens', coalesce(sum(c.output_tokens), 0),
        'total_tokens', coalesce(sum(c.total_tokens), 0), 'cost', coalesce(sum(c.cost), 0)
      ) from cells c
    ),
    'series', (select coalesce(jsonb_agg(s.item order by s.period, jsonb_array_length(s.names), s.names), '[]') from series s)
  ) into v_answer;
  return v_answer;
end
$$;
grant execute on function public.summarize_usage(text, text, text, text[], uuid[]) to authenticated;
comment on function public.summarize_usage(text, text, text, text[], uuid[]) is
  'Returns usage of the caller and their devices in a range, from the rollups: {from, to, time_zone, totals, series}, grouped by any of day, week, month (one of them), provider, model, source, device, user; periods without use are there with zeros. Of more than 10,000 rows the groups used least are one, marked by other. Raises RANGE_NOT_VALID.';

create or replace function public.verify_ledger()
returns table (name text, ok boolean, checked bigint, discrepancies jsonb)
language plpgsql stable security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: reads every subject's rows, which no API role may. Stable: one snapshot for all checks.
begin
  return query
  with
  allocations as (
    select b.subject_id, b.allocated as stated, coalesce(e.total, 0) as proven
      from public.balances b
      full join (select subject_id, sum(amount) as total from public.ledger_entries group by subject_id) e using (subject_id)
  ),
  spent as (
    select b.subject_id, b.used + b.debt as stated, coalesce(e.total, 0) as proven
      from public.balances b
      left join (
        select subject_id, period, sum(cost) as total
          from (
            select subject_id, period, cost from public.usage_events
            union all
            select subject_id, period, cost from private.retired_usage
          ) debits
         group by subject_id, period
      ) e on e.subject_id = b.subject_id and e.period = b.period
  ),
  held as (
    select subject_id, b.reserved as stated, coalesce(r.total, 0) as proven
      from public.balances b
      full join (
        select subject_id, sum(amount) as total from public.reservations where status = 'held' group by subject_id
      ) r using (subject_id)
  ),
  full_days as (
    select subject_id, day from private.rollup_names group by subject_id, day having count(*) >= private.rollup_name_limit()
  ),
  events as (
    select e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch') as bucket,
           case when f.day is null or n.day is not null then e.provider else 'other' end as provider,
           case when f.day is null or n.day is not null then e.model else 'other' end as model, e.source,
           count(*) as events, sum(prompt_count) as prompts, sum(input_tokens) as input_tokens,
           sum(output_tokens) as output_tokens, sum(total_tokens) as total_tokens, sum(cost) as cost
      from public.usage_events e
      left join full_days f on f.subject_id = e.subject_id and f.day = (e.occurred_at at time zone 'UTC')::date
      left join private.rollup_names n
        on n.subject_id = f.subject_id and n.day = f.day and n.provider = e.provider and n.model = e.model
     group by 1, 2, 3, 4, 5
  ),
  rollups as (
    select subject_id,
           array[r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost]::numeric[] as stated,
           array[e.events, e.prompts, e.input_tokens, e.output_tokens, e.total_tokens, e.cost]::numeric[] as proven
      from public.usage_rollups r
      full join events e using (subject_id, bucket, provider, model, source)
     -- Rollups outlive the events retention drops.
     where bucket >= (select min(lower_bound) from private.usage_partitions())
  ),
  totals as (
    select bucket::text as subject, t.stated, r.proven
      from (
        select bucket,
               array[sum(events), sum(prompts), sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cost)] as stated
          from public.usage_totals group by bucket
      ) t
      full join (
        select bucket,
               array[sum(events), sum(prompts), sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cost)] as proven
          from public.usage_rollups group by bucket
      ) r using (bucket)
  ),
  pools as (
    select p.subject_kind, p.allocated as stated, coalesce(b.total, 0) as proven
      from public.budgets p
      left join (select subject_kind, sum(allocated) as total from public.balances group by subject_kind) b using (subject_kind)
  ),
  transfers as (
    select e.reference, 0::numeric as stated, sum(e.amount) as proven
      from public.ledger_entries e where e.kind = 'transfer' group by e.reference
  ),
  tracked as (
    select u.id as subject_id,
           array[coalesce(c.prompts, 0), coalesce(c.tokens, 0)]::numeric[] as stated,
           array[coalesce(r.prompts, 0), coalesce(r.tokens, 0)]::numeric[] as proven
      from public.users u
      left join public.tracker_counters c on c.user_id = u.id
      left join (
        select subject_id, sum(prompts) as prompts, sum(total_tokens) as tokens
          from public.usage_rollups where source = 'tracker' group by subject_id
      ) r on r.subject_id = u.id
     where c.user_id is not null or r.subject_id is not null
  ),
  owed as (
    select b.subject_id, b.debt as stated, 0::bigint as proven
      from public.balances b where b.debt > 0 and b.allocated > b.used + b.reserved
  ),
  -- A closed generation has one event of what it was settled at; corrections are ledger entries.
  generated as (
    select g.id as subject_id,
           case r.status
             when 'held' then 0
             else g.input_tokens + g.output_tokens - g.uncollected + coalesce(c.amount, 0)
           end::numeric as stated,
           coalesce(e.cost, 0) as proven
      from public.generations g
      join public.reservations r on r.id = g.id
      left join (
        select id, sum(cost) as cost from public.usage_events where source in ('chat', 'api') group by id
      ) e on e.id = g.id
      left join (
        select reference, sum(amount) as amount from public.ledger_entries where kind = 'correction' group by reference
      ) c on c.reference = 'generation:' || g.id
     where r.closed_at is null or r.closed_at >= (select min(lower_bound) from private.usage_partitions())
  ),
  findings as (
    select 'allocated = sum of ledger entries' as title, subject_id::text as subject, to_jsonb(stated) as stated, to_jsonb(proven) as proven from allocations
    union all
    select 'used + debt = sum of event costs in the period', subject_id::text, to_jsonb(stated), to_jsonb(proven) from spent
    union all
    select 'reserved = sum of held reservations', subject_id::text, to_jsonb(stated), to_jsonb(proven) from held
    union all
    select 'rollups = sums of events', subject_id::text, to_jsonb(stated), to_jsonb(proven) from rollups
    union all
    select 'totals = sums of rollups', subject, to_jsonb(stated), to_jsonb(proven) from totals
    union all
    select 'legs of each transfer cancel out', reference, to_jsonb(stated), to_jsonb(proven) from transfers
    union all
    select 'pools = sums of allocations', subject_kind, to_jsonb(stated), to_jsonb(proven) from pools
    union all
    select 'tracker counters = sums of tracker rollups', subject_id::text, to_jsonb(stated), to_jsonb(proven) from tracked
    union all
    select 'debt only where nothing is left', subject_id::text, to_jsonb(stated), to_jsonb(proven) from owed
    union all
    select 'generations = their events and corrections', subject_id::text, to_jsonb(stated), to_jsonb(proven) from generated
  ),
  titles(position, title) as (
    values
      (1, 'allocated = sum of ledger entries'),
      (2, 'used + debt = sum of event costs in the period'),
      (3, 'reserved = sum of held reservations'),
      (4, 'rollups = sums of events'),
      (5, 'totals = sums of rollups'),
      (6, 'legs of each transfer cancel out'),
      (7, 'pools = sums of allocations'),
      (8, 'tracker counters = sums of tracker rollups'),
      (9, 'debt only where nothing is left'),
      (10, 'generations = their events and corrections')
  )
  select t.title,
         count(*) filter (where f.stated is distinct from f.proven and f.title is not null) = 0,
         count(f.title),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', f.subject, 'stated', f.stated, 'proven', f.proven))
             filter (where f.stated is distinct from f.proven and f.title is not null),
           '[]'
         )
    from titles t left join findings f on f.title = t.title
   group by t.position, t.title
   order by t.position;
end
$$;
grant execute on function public.verify_ledger() to service_role;
comment on function public.verify_ledger() is
  'Recomputes every balance, hold, rollup, counter and generation from the rows behind it. One row per check; ok is false where discrepancies lists differences.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127211911', '9fef649bb0d8d0910dfc3b81eacb364dee2f734b2891f37f14326adaba25aca2');
