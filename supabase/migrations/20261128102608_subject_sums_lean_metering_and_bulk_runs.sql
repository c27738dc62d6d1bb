-- Changes of all that match are carried on by the server; debits and chat look up less; everybody's use by device or person
-- is read from sums of days and months.

-- As in every function: names are qualified, and what changes rows here is not a change by hand.
set search_path = '';

-- The server does bulk changes by itself, so that they go on when the page that began them is closed.



alter table private.bulk_changes add column if not exists run_as jsonb;
comment on column private.bulk_changes.run_as is 'The admin in whose name the server does what is left, as require_admin takes it, with a session of its own; null while it does not.';
create index if not exists bulk_changes_run_idx on private.bulk_changes (id) where run_as is not null;
comment on column private.bulk_chunks.outcome is 'Once it is done: {at, changed, skipped, refused: [{id, code}]}.';

-- Metering with less work an item: balances of chat are written together, and what one item needs is looked up with it.



-- Postgres reads each check anew for every statement that writes: one for all numbers of a kind.
alter table public.generations
  drop constraint if exists generations_input_estimate_check,
  drop constraint if exists generations_input_tokens_check,
  drop constraint if exists generations_output_tokens_check,
  drop constraint if exists generations_uncollected_check,
  drop constraint if exists generations_reconcile_tries_check,
  drop constraint if exists generations_input_seen_check,
  drop constraint if exists generations_output_seen_check,
  drop constraint if exists generations_input_floor_check,
  drop constraint if exists generations_output_floor_check,
  drop constraint if exists generations_input_weight_check,
  drop constraint if exists generations_output_weight_check,
  drop constraint if exists generations_input_price_check,
  drop constraint if exists generations_output_price_check,
  drop constraint if exists generations_request_price_check,
  drop constraint if exists generations_tokens_check,
  drop constraint if exists generations_prices_check,
  add constraint generations_tokens_check check (
    least(
      input_estimate - 1, input_tokens, output_tokens, uncollected, reconcile_tries, input_seen, output_seen, input_floor,
      output_floor
    ) >= 0
  ),
  add constraint generations_prices_check check (
    least(input_weight, output_weight, input_price, output_price, request_price) >= 0
  );

-- What each device and person used is summed up per day and month, too, so that everybody's use by device or person is read
-- from these.



create table if not exists private.daily_subject_usage (
  day date not null,
  subject_id uuid not null,
  events bigint not null,
  prompts bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  total_tokens bigint not null,
  cost bigint not null,
  nano_usd bigint not null,
  primary key (day, subject_id)
);
comment on table private.daily_subject_usage is 'Rollups of each device and user summed per day that is over; see summed_days for which may be used.';
comment on column private.daily_subject_usage.day is 'The day (UTC).';
comment on column private.daily_subject_usage.subject_id is 'The device or user.';
comment on column private.daily_subject_usage.events is 'Number of events.';
comment on column private.daily_subject_usage.prompts is 'Sum of their prompts.';
comment on column private.daily_subject_usage.input_tokens is 'Sum of their input tokens.';
comment on column private.daily_subject_usage.output_tokens is 'Sum of their output tokens.';
comment on column private.daily_subject_usage.total_tokens is 'Sum of their tokens.';
comment on column private.daily_subject_usage.cost is 'Sum of what they debited.';
comment on column private.daily_subject_usage.nano_usd is 'Sum of what upstream charges for them, in nano-dollars, as far as that is known.';

-- Written with each of its days, so there is space for the next version of a row.
create table if not exists private.monthly_subject_usage (
  month date not null,
  subject_id uuid not null,
  events bigint not null,
  prompts bigint not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  total_tokens bigint not null,
  cost bigint not null,
  nano_usd bigint not null,
  primary key (month, subject_id)
) with (fillfactor = 80);
comment on table private.monthly_subject_usage is 'What daily_subject_usage has of a month; it may be used where all days of the month may be.';
comment on column private.monthly_subject_usage.month is 'First day of the month (UTC).';
comment on column private.monthly_subject_usage.subject_id is 'The device or user.';
comment on column private.monthly_subject_usage.events is 'Number of events.';
comment on column private.monthly_subject_usage.prompts is 'Sum of their prompts.';
comment on column private.monthly_subject_usage.input_tokens is 'Sum of their input tokens.';
comment on column private.monthly_subject_usage.output_tokens is 'Sum of their output tokens.';
comment on column private.monthly_subject_usage.total_tokens is 'Sum of their tokens.';
comment on column private.monthly_subject_usage.cost is 'Sum of what they debited.';
comment on column private.monthly_subject_usage.nano_usd is 'Sum of what upstream charges for them, in nano-dollars, as far as that is known.';
alter table private.daily_subject_usage enable row level security;
alter table private.monthly_subject_usage enable row level security;

-- Days that are summed up already get their subjects' sums from maintenance, 31 a minute.
alter table private.summed_days add column if not exists subjects_at timestamptz;
comment on table private.summed_days is 'The days that are summed up, or are to be.';
comment on column private.summed_days.summed_at is 'When daily_usage and quarter_hour_usage got it last; null where they are to.';
comment on column private.summed_days.subjects_at is 'When daily_subject_usage and monthly_subject_usage got it last; null where they are to.';


set check_function_bodies = off;

drop function if exists private.close_generation(p_generation public.generations, p_hold public.reservations, p_status text, p_provenance text, p_input bigint, p_output bigint, p_nano_usd bigint, OUT generation public.generations, OUT hold public.reservations, OUT event public.usage_events, OUT remaining bigint);

drop function if exists private.lock_device_balances(p_items jsonb, p_period integer);

drop function if exists private.note_generation(p_generation public.generations, p_hold public.reservations, p_item jsonb, OUT answer jsonb, OUT generation public.generations);

drop function if exists private.repeated_answer(p_device_id uuid, p_key uuid, p_request_hash bigint);

drop function if exists private.reserve_generation(p_user_id uuid, p_item jsonb, OUT answer jsonb, OUT hold public.reservations, OUT generation public.generations);

drop function if exists private.settle_generation(p_generation public.generations, p_hold public.reservations, p_item jsonb, p_has_pool boolean, OUT answer jsonb, OUT generation public.generations, OUT hold public.reservations, OUT event public.usage_events);

drop function if exists private.top_models(p_from timestamp with time zone);

drop function if exists private.usage_between(p_from timestamp with time zone, p_to timestamp with time zone);

drop function if exists public.summarize_all_usage(p_actor jsonb, p_from text, p_to text, p_time_zone text, p_group_by text[], p_user_id uuid, p_filter jsonb);

drop function if exists public.summarize_usage(p_from text, p_to text, p_time_zone text, p_group_by text[], p_subjects uuid[], p_filter jsonb);

drop function if exists public.usage_sums(p_subjects uuid[], p_names text[], p_starts timestamp with time zone[], p_from timestamp with time zone, p_to timestamp with time zone, p_filter jsonb);

-- The kinds of joins that read a table whole, or in another order than that of its key, are out of the question: who adds
-- to several rollups does so in the order of their keys.
create or replace function private.add_to_rollups(p_events public.usage_events[])
returns public.usage_events[]
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  v_new public.usage_events[];
begin
  with added as (
    update public.usage_rollups r
       set events = r.events + c.events,
           prompts = r.prompts + c.prompts,
           input_tokens = r.input_tokens + c.input_tokens,
           output_tokens = r.output_tokens + c.output_tokens,
           total_tokens = r.total_tokens + c.total_tokens,
           cost = r.cost + c.cost,
           nano_usd = r.nano_usd + c.nano_usd
      from (
        select e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch') as bucket, e.provider, e.model, e.source,
               count(*) as events, sum(e.prompt_count) as prompts, sum(e.input_tokens)::bigint as input_tokens,
               sum(e.output_tokens)::bigint as output_tokens, sum(e.total_tokens)::bigint as total_tokens,
               sum(e.cost)::bigint as cost, coalesce(sum(e.nano_usd), 0)::bigint as nano_usd
          from unnest(p_events) e
         group by 1, 2, 3, 4, 5
         order by 1, 2, 3, 4, 5
      ) c
     where r.subject_id = c.subject_id and r.bucket = c.bucket and r.provider = c.provider and r.model = c.model
       and r.source = c.source
    returning r.subject_id, r.bucket, r.provider, r.model, r.source, c.events
  )
  select case when (select sum(a.events) from added a) is distinct from cardinality(p_events) then array(
           select e from unnest(p_events) e
            where (e.subject_id, date_bin('15 minutes', e.occurred_at, 'epoch'), e.provider, e.model, e.source)
              not in (select a.subject_id, a.bucket, a.provider, a.model, a.source from added a)
         ) end
    into v_new;
  return v_new;
end
$$;
comment on function private.add_to_rollups(public.usage_events[]) is
  'Adds events to the quarter-hour rollups there are. Returns those there is none for yet, null where there are none of these.';

create or replace function private.break_seals()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  -- Of all rows, said in words: sessions of Supabase's Data API refuse a delete or an update that names none.
  delete from private.sealed_totals where true;
  delete from private.sealed_rollups where true;
  delete from private.sealed_events where true;
  delete from private.sealed_months where true;
  delete from private.quarter_hour_usage where true;
  delete from private.daily_usage where true;
  delete from private.daily_subject_usage where true;
  delete from private.monthly_subject_usage where true;
  delete from private.summed_days where true;
  return null;
end
$$;
comment on function private.break_seals() is 'Trigger: takes every seal and every day''s sum away, so that all of them are made from their rows again.';

create or replace function private.bulk_change_json(p_id uuid)
returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
declare
  v_change jsonb;
begin
  select jsonb_build_object(
           'id', c.id, 'kind', c.subject_kind, 'query', c.query, 'filter', c.filter, 'created_by', c.created_by,
           'created_at', c.created_at, 'matched', c.matched, 'change', c.change,
           'state', case
             when c.stopped_at is not null then 'stopped'
             when o.left_over = 0 then 'done'
             when c.started_at is null then 'preview'
             else 'running'
           end,
           'runs', c.run_as is not null,
           'ended_at', case when c.stopped_at is not null then c.stopped_at when o.left_over = 0 then o.last_at end,
           'changed', o.changed, 'skipped', o.skipped, 'left', o.left_over, 'refused', o.refused,
           'refusals', (
             select coalesce(jsonb_agg(jsonb_build_object('code', r.code, 'count', r.count) order by r.count desc, r.code), '[]')
               from (
                 select i ->> 'code' as code, count(*) as count
                   from private.bulk_chunks k cross join jsonb_array_elements(k.outcome -> 'refused') i
                  where k.change_id = c.id group by 1
               ) r
           )
         )
    into v_change
    from private.bulk_changes c
    cross join lateral (
      select coalesce(sum((k.outcome ->> 'changed')::integer), 0) as changed,
             coalesce(sum((k.outcome ->> 'skipped')::integer), 0) as skipped,
             coalesce(sum(jsonb_array_length(k.outcome -> 'refused')), 0) as refused,
             coalesce(sum(cardinality(k.ids)), 0) as left_over, max((k.outcome ->> 'at')::timestamptz) as last_at
        from private.bulk_chunks k where k.change_id = c.id
    ) o
   where c.id = p_id;
  if v_change is null then
    raise sqlstate 'PT404' using message = 'BULK_CHANGE_NOT_FOUND';
  end if;
  return v_change;
end
$$;
comment on function private.bulk_change_json(uuid) is
  'Returns how a bulk change stands: {id, kind, query, filter, created_by, created_at, ended_at, matched, change, state, runs, changed, skipped, left, refused, refusals: [{code, count}]}; raises BULK_CHANGE_NOT_FOUND.';

-- Ends a running generation: its hold goes, its cost is debited, and where that is more than hold and balance together
-- the rest becomes debt. The caller has locked the balance, and writes it with write_balances, the rest with
-- write_closed_generations.
create or replace function private.close_generation(
  p_balance public.balances, p_generation public.generations, p_hold public.reservations, p_status text,
  p_provenance text, p_input bigint, p_output bigint, p_nano_usd bigint, out balance public.balances,
  out generation public.generations, out hold public.reservations, out event public.usage_events
)
language plpgsql volatile set search_path = ''
as $$
declare
  v_cost bigint := private.weighted_tokens(p_generation, p_input, p_output);
  v_paid bigint := least(v_cost, p_balance.remaining + p_hold.amount);
begin
  balance := p_balance;
  balance.reserved := balance.reserved - p_hold.amount;
  balance.used := balance.used + v_paid;
  balance.debt := balance.debt + v_cost - v_paid;
  balance.remaining := balance.remaining + p_hold.amount - v_paid;
  hold := p_hold;
  hold.status := p_status;
  generation := p_generation;
  generation.provenance := p_provenance;
  generation.input_tokens := p_input;
  generation.output_tokens := p_output;
  generation.reconcile_at := case when p_provenance = 'estimated' and p_generation.upstream_id is not null then now() end;
  if p_input + p_output > 0 then
    hold.usage_event_id := p_generation.id;
    event := row(
      p_generation.id, p_generation.subject_id, p_generation.subject_id, null, p_generation.source,
      coalesce(p_generation.provider, 'unknown'), p_generation.model, 1, p_input, p_output, p_input + p_output, v_cost,
      p_provenance, p_balance.period, null, now(), now(),
      private.generation_money(p_generation, p_provenance, p_input, p_output, p_nano_usd)
    )::public.usage_events;
  end if;
end
$$;
comment on function private.close_generation(
  public.balances, public.generations, public.reservations, text, text, bigint, bigint, bigint
) is
  'Settles the hold of a running generation in its balance, and returns all three as they are then, with the usage event to record where anything was used. The balance must be locked by the caller, who writes them.';

create or replace function private.device_key(p_device_id uuid, p_key text)
returns uuid
language plpgsql immutable strict set search_path = ''
as $$
begin
  if length(p_key) not between 1 and 255 then
    raise exception 'an idempotency key has 1 to 255 characters' using errcode = '22023';
  end if;
  return encode(
    substr(sha256(uuid_send(p_device_id) || substr(sha256(convert_to(p_key, 'UTF8')), 1, 16)), 1, 16), 'hex'
  )::uuid;
end
$$;
comment on function private.device_key(uuid, text) is
  'Returns an idempotency key of a device as it is stored: the first 128 bits of the SHA-256 of the device and of the key''s own hash (its first 128 bits); null for none.';

create or replace function private.do_bulk_chunk(p_actor jsonb, p_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_change private.bulk_changes;
  v_number integer;
  v_ids uuid[];
  v_matching uuid[];
  v_items jsonb[];
  v_refused jsonb;
begin
  select * into v_change from private.bulk_changes c where c.id = p_id for share;
  if v_change.stopped_at is null then
    select k.number, k.ids into v_number, v_ids
      from private.bulk_chunks k
     where k.change_id = p_id and k.outcome is null order by k.number limit 1 for update skip locked;
  end if;
  if v_number is not null then
    perform private.lock_for_change(v_change.subject_kind, v_ids);
    -- Who does not match any more is left alone: the reason to change them is gone.
    v_matching := array(select private.find_matches(v_change.subject_kind, v_change.query, v_change.filter, v_ids));
    v_items := private.change_each(p_actor, v_change.subject_kind, v_matching, v_change.change);
    select coalesce(jsonb_agg(jsonb_build_object('id', i -> 'id', 'code', i -> 'code')), '[]') into v_refused
      from unnest(v_items) i where i ->> 'code' is not null;
    update private.bulk_chunks k
       set ids = '{}', outcome = jsonb_build_object(
             'at', clock_timestamp(), 'changed', cardinality(v_items) - jsonb_array_length(v_refused),
             'skipped', cardinality(v_ids) - cardinality(v_matching), 'refused', v_refused
           )
     where k.change_id = p_id and k.number = v_number;
  end if;
end
$$;
comment on function private.do_bulk_chunk(jsonb, uuid) is
  'Does the next hundred of a bulk change that nobody else is doing, each of whom is changed, refused, or skipped where it matches no more; nothing where none is left or it was stopped.';

create or replace function private.end_bulk_run(p_id uuid)
returns void
language sql volatile set search_path = ''
as $$
  delete from private.admin_sessions s
   using private.bulk_changes c
   where c.id = p_id and s.id = (c.run_as ->> 'session_id')::uuid;
  update private.bulk_changes c set run_as = null where c.id = p_id and c.run_as is not null;
$$;
comment on function private.end_bulk_run(uuid) is
  'Has the server do no more of a bulk change, and ends the session it did so in.';

-- Of devices and people there are too many to add each of them up in each period, or for the sake of a few: they are ranked first,
-- and only those that are listed are told apart.
create or replace function private.everybodys_usage(
  p_names text[], p_starts timestamptz[], p_from timestamptz, p_to timestamptz, p_filter jsonb, p_groups integer
)
returns table (
  period integer, rank bigint, is_rest boolean, provider text, model text, source text, device uuid, "user" uuid,
  events numeric, prompts numeric, input_tokens numeric, output_tokens numeric, total_tokens numeric, cost numeric,
  nano_usd numeric
)
language plpgsql stable set search_path = ''
as $$
declare
  v_of_subjects constant boolean := p_names && '{device,user}';
  v_is_named constant boolean := p_names && '{provider,model,source}' or p_filter ?| '{provider,model,source}';
  v_is_summed constant boolean := not v_of_subjects or p_starts is null and p_groups > 1000;
  -- Names of a closed list only, and only those that are asked for, so that nothing is grouped or compared in vain.
  v_keys constant text[] := array(select k from unnest('{provider,model,source}'::text[]) k where k = any (p_names))
    || case when v_of_subjects then '{subject_id}' else '{}' end::text[];
  v_names constant text[] := array(
    select quote_ident(n) from unnest('{provider,model,source,device,user}'::text[]) n where n = any (p_names)
  );
  v_sums constant text := 'sum(%1$s.events) as events, sum(%1$s.prompts) as prompts, sum(%1$s.input_tokens) as input_tokens, '
    'sum(%1$s.output_tokens) as output_tokens, sum(%1$s.total_tokens) as total_tokens, sum(%1$s.cost) as cost, '
    'sum(%1$s.nano_usd) as nano_usd';
begin
  return query execute format(
    $query$
      with
      used as %1$s (
        select %2$s from (%3$s) r where %4$s %5$s
      ),
      named as materialized (
        select k.* %6$s from (%7$s) k %8$s
      ),
      ranked as materialized (
        select %9$s count(*) over () > $2 as are_more, row_number() over (order by %10$s) as rank %16$s from named n %11$s
      )
    $query$
    || case when v_is_summed and p_starts is null then $query$
      select 0, r.rank, false, %15$s, r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost, r.nano_usd
        from ranked r where not r.are_more or r.rank < $2
      union all
      select 0, $2, true, null, null, null, null, null, sum(r.events), sum(r.prompts), sum(r.input_tokens),
             sum(r.output_tokens), sum(r.total_tokens), sum(r.cost), sum(r.nano_usd)
        from ranked r where r.are_more and r.rank >= $2 having count(*) > 0
    $query$
    else $query$,
      placed as materialized (
        select n.*, least(r.rank, $2) as place from named n join ranked r on %12$s
      ),
      cells as (
        select u.period, p.place, %13$s from used u join placed p on %14$s group by 1, 2
      )
      select c.period, r.rank, r.are_more and r.rank = $2, %15$s, c.events, c.prompts, c.input_tokens, c.output_tokens,
             c.total_tokens, c.cost, c.nano_usd
        from cells c join ranked r on r.rank = c.place
    $query$ end,
    case when v_is_summed then 'materialized' else 'not materialized' end,
    concat_ws(
      ', ', case when p_starts is null then '0' else 'width_bucket(r.bucket, $1)' end || ' as period',
      (select string_agg('r.' || k, ', ') from unnest(v_keys) k),
      case
        when v_is_summed then format(v_sums, 'r')
        else 'r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost, r.nano_usd'
      end
    ),
    case
      when v_of_subjects then private.subject_source(v_is_named, p_starts, p_from, p_to)
      else private.named_source(not v_is_named, p_starts, p_from, p_to)
    end,
    concat_ws(
      ' and ', 'true', 'r.provider = ' || quote_literal(p_filter ->> 'provider'),
      'r.model = ' || quote_literal(lower(btrim(p_filter ->> 'model'))), 'r.source = ' || quote_literal(p_filter ->> 'source')
    ),
    case when v_is_summed then 'group by ' || concat_ws(', ', '1', (select string_agg('r.' || k, ', ') from unnest(v_keys) k)) end,
    concat(
      case when 'device' = any (p_names) then ', d.id as device' end,
      case when 'user' = any (p_names) then ', coalesce(d.user_id, case when d.id is null then k.subject_id end) as "user"' end
    ),
    case
      when v_is_summed and p_starts is null then 'select * from used'
      else 'select ' || concat_ws(', ', (select string_agg('u.' || k, ', ') from unnest(v_keys) k), 'sum(u.events) as events')
        || ' from used u' || (select coalesce(' group by ' || string_agg('u.' || k, ', '), '') from unnest(v_keys) k)
    end,
    case when v_of_subjects then 'left join public.devices d on d.id = k.subject_id' end,
    (select string_agg('n.' || n || ', ', '') from unnest(v_names) n),
    concat_ws(', ', 'sum(n.events) desc', (select string_agg('n.' || n || ' nulls first', ', ') from unnest(v_names) n)),
    (select 'group by ' || string_agg('n.' || n, ', ') from unnest(v_names) n),
    (
      select concat_ws(
               ' and ', 'true',
               string_agg(
                 case
                   when n in ('device', '"user"') then format('coalesce(r.%1$s, %2$L) = coalesce(n.%1$s, %2$L)', n, uuid_nil)
                   else format('r.%1$s = n.%1$s', n)
                 end, ' and '
               )
             )
        from unnest(v_names) n cross join (values ('00000000-0000-0000-0000-000000000000')) v(uuid_nil)
    ),
    format(v_sums, 'u'),
    (select concat_ws(' and ', 'true', string_agg(format('p.%1$s = u.%1$s', k), ' and ')) from unnest(v_keys) k),
    (
      select string_agg(case when quote_ident(n) = any (v_names) then 'r.' || quote_ident(n) else 'null::' || t end, ', ' order by place)
        from unnest('{provider,model,source,device,user}'::text[], '{text,text,text,uuid,uuid}'::text[]) with ordinality v(n, t, place)
    ),
    case when v_is_summed and p_starts is null then ', ' || format(v_sums, 'n') end
  )
  using p_starts, p_groups;
end
$$;
comment on function private.everybodys_usage(text[], timestamptz[], timestamptz, timestamptz, jsonb, integer) is
  'Returns what everybody used in a range, as ranked_usage does.';

-- The caller holds the device's balance, and names the holds it has settled without having written that yet.
create or replace function private.find_device_hold(
  p_device_id uuid, p_id uuid, p_settled uuid[], out refusal jsonb, out hold public.reservations
)
language plpgsql stable set search_path = ''
as $$
begin
  select r.* into hold from public.reservations r where r.id = p_id and r.subject_id = p_device_id;
  if not found then
    refusal := '{"code": "RESERVATION_NOT_FOUND"}';
  elsif hold.status = 'settled' or hold.id = any (p_settled) then
    refusal := '{"code": "RESERVATION_SETTLED"}';
  elsif hold.status <> 'held' or hold.expires_at <= now() then
    -- It guarantees nothing any more: its usage is debited like any other.
    hold := null;
  end if;
end
$$;
comment on function private.find_device_hold(uuid, uuid, uuid[]) is
  'Returns the hold that a debit names, null where it has expired, or the refusal {code} where the device has none of this id or it is settled. The balance must be locked by the caller.';

-- Suffixes choose among providers of a model and weigh what it does; a free variant is another thing, and is never
-- weighed by the price of the model it is a variant of.
-- In PL/pgSQL, whose plans a session keeps: a function in SQL would be planned in every transaction.
create or replace function private.find_model_weight(p_model text)
returns public.model_weights
language plpgsql stable set search_path = ''
as $$
declare
  v_names constant text[] := case
    when p_model like '%:free' then array[p_model, '*:free']
    else array[p_model, split_part(p_model, ':', 1), split_part(p_model, '/', 1) || '/*', '*']
  end;
  v_weight public.model_weights;
begin
  select w.* into v_weight
    from public.model_weights w
   where w.model = any (v_names)
   order by array_position(v_names, w.model)
   limit 1;
  return v_weight;
end
$$;
comment on function private.find_model_weight(text) is
  'Returns the weight of a model: its own, without its suffix, of its vendor, or of all others; null where none has a row.';

-- In id order, so that concurrent calls cannot deadlock. What is only read is locked where something may be due.
create or replace function private.lock_device_balances(p_items jsonb)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  if jsonb_array_length(p_items) = 1 then
    perform from public.balances b where b.subject_id = (p_items #>> '{0,device_id}')::uuid for update;
    return;
  end if;
  perform from (
      select i.device_id, bool_or(i.op = 'debit' or i.reserve) as is_written
        from jsonb_to_recordset(p_items) as i(op text, device_id uuid, reserve boolean)
       group by 1
       order by 1
    ) d
   cross join lateral (
     select from public.balances b
      where b.subject_id = d.device_id and (d.is_written or b.period < (select max(p.number) from public.periods p) or b.reserved > 0)
        for update
   ) b;
end
$$;
comment on function private.lock_device_balances(jsonb) is
  'Locks the balances that a call of meter_devices writes, and those of its other devices that may have to be brought into the running period or rid of expired holds.';

create or replace function private.mark_changed_generation()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  if tg_op = 'UPDATE' and (
       old.id, old.subject_id, old.input_tokens, old.output_tokens, old.uncollected, old.input_weight, old.output_weight
     ) is not distinct from (
       new.id, new.subject_id, new.input_tokens, new.output_tokens, new.uncollected, new.input_weight, new.output_weight
     )
  then
    return null;
  end if;
  perform private.mark_changed_usage(r.subject_id, r.closed_at)
     from public.reservations r where r.id in (old.id, case when tg_op = 'UPDATE' then new.id end) and r.closed_at is not null;
  return null;
end
$$;
comment on function private.mark_changed_generation() is
  'Trigger: notes that a generation that ended in a month that is over changed or went.';

create or replace function private.mark_changed_reservation()
returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  if (old.id, old.subject_id, old.status, old.closed_at)
     is not distinct from (new.id, new.subject_id, new.status, new.closed_at)
  then
    return null;
  end if;
  perform private.mark_changed_usage(old.subject_id, old.closed_at);
  if new.closed_at is not null then
    perform private.mark_changed_usage(new.subject_id, new.closed_at);
  end if;
  return null;
end
$$;
comment on function private.mark_changed_reservation() is 'Trigger: notes that a hold that ended in a month that is over changed.';

create or replace function private.named_source(
  p_is_total boolean, p_starts timestamptz[], p_from timestamptz, p_to timestamptz
)
returns text
language plpgsql stable set search_path = ''
as $$
declare
  v_days date[];
  v_split date[];
  v_greater timestamptz[];
  v_lesser tstzrange[];
  v_rest tstzmultirange;
begin
  -- Days that are summed up, where no period begins within one. Where one does, the day's sum is the greater part's, and what
  -- the lesser part adds up to is taken from that. The rest is read by the quarter hour.
  select array_agg(d.day) filter (where d.lesser is null), array_agg(d.day) filter (where d.lesser is not null),
         array_agg(d.greater) filter (where d.lesser is not null), array_agg(d.lesser) filter (where d.lesser is not null),
         tstzmultirange(tstzrange(p_from, p_to)) - coalesce(range_agg(tstzrange(d.starts, d.ends)), '{}'::tstzmultirange)
    into v_days, v_split, v_greater, v_lesser, v_rest
    from (
      select s.*, case when p.start - s.starts > s.ends - p.start then s.starts else p.start end as greater,
             case
               when p.start - s.starts > s.ends - p.start then tstzrange(p.start, s.ends)
               when p.start > s.starts then tstzrange(s.starts, p.start)
             end as lesser,
             width_bucket(s.ends - interval '1 microsecond', p_starts) - width_bucket(s.starts, p_starts) as begun
        from (
          select c.day, c.day::timestamp at time zone 'UTC' as starts, (c.day + 1)::timestamp at time zone 'UTC' as ends
            from private.summed_days c
           where c.summed_at is not null
             and c.day >= (p_from at time zone 'UTC')::date and c.day < (p_to at time zone 'UTC')::date
             and not exists (select from private.changed_days n where n.day = c.day)
        ) s
       cross join lateral (select p_starts[width_bucket(s.ends - interval '1 microsecond', p_starts)] as last) l
       cross join lateral (select case when l.last > s.starts then l.last end as start) p
    ) d
   where d.starts >= p_from and (d.lesser is null or d.begun = 1 and not p_is_total);
  return format(
    $source$
      select d.day::timestamp at time zone 'UTC' as bucket, d.provider, d.model, d.source, d.events, d.prompts,
             d.input_tokens, d.output_tokens, d.total_tokens, d.cost, d.nano_usd
        from private.daily_usage d where d.day = any (%1$L::date[])
      union all
      select x.greater, d.provider, d.model, d.source, d.events, d.prompts, d.input_tokens, d.output_tokens,
             d.total_tokens, d.cost, d.nano_usd
        from unnest(%2$L::date[], %3$L::timestamptz[]) x(day, greater) join private.daily_usage d on d.day = x.day
      union all
      select case when k.factor = 1 then l.bucket else x.greater end, l.provider, l.model, l.source, k.factor * l.events,
             k.factor * l.prompts, k.factor * l.input_tokens, k.factor * l.output_tokens, k.factor * l.total_tokens,
             k.factor * l.cost, k.factor * l.nano_usd
        from unnest(%3$L::timestamptz[], %4$L::tstzrange[]) x(greater, lesser)
       cross join lateral (
         select * from private.quarter_hour_usage q where q.bucket >= lower(x.lesser) and q.bucket < upper(x.lesser) offset 0
       ) l
       cross join (values (1), (-1)) k(factor)
      union all
      select u.bucket, %6$s, u.events, u.prompts, u.input_tokens, u.output_tokens, u.total_tokens, u.cost, u.nano_usd
        from unnest(%5$L::tstzmultirange) x(part)
       cross join lateral (
         select * from %7$s l where l.bucket >= lower(x.part) and l.bucket < upper(x.part) %8$s offset 0
       ) u
    $source$,
    v_days, v_split, v_greater, v_lesser, v_rest,
    -- Totals have no names.
    case when p_is_total then 'null, null, null' else 'u.provider, u.model, u.source' end,
    case when p_is_total then 'public.usage_totals' else 'public.usage_rollups' end,
    case when not p_is_total then 'union all select * from private.unpack_rollups(lower(x.part), upper(x.part))' else '' end
  );
end
$$;
comment on function private.named_source(boolean, timestamptz[], timestamptz, timestamptz) is
  'Returns the SQL of rows (bucket, provider, model, source, sums) that everybody''s use between two times, or with p_is_total what it is altogether, is added up from; none of them is of two periods, whose starts are given.';

-- Also with nothing to add: a running stream says that it is still there, and how far it has come. The caller writes the
-- generation with write_noted_generations, and takes the amount from the balance.
create or replace function private.note_generation(
  p_balance public.balances, p_generation public.generations, p_hold public.reservations, p_item jsonb,
  out answer jsonb, out generation public.generations, out amount bigint
)
language plpgsql volatile set search_path = ''
as $$
declare
  v_output bigint := p_item ->> 'output_tokens';
begin
  amount := 0;
  if p_hold.status <> 'held' then
    answer := '{"code": "RESERVATION_SETTLED"}';
    return;
  end if;
  if v_output > 0 then
    if exists (select from public.users u where u.id = p_balance.subject_id and u.suspended_at is not null) then
      v_output := 0;
    else
      v_output := private.affordable_tokens(v_output, p_balance.remaining, p_generation.output_weight);
    end if;
    amount := private.weighted_tokens(p_generation, 0, v_output);
  end if;
  -- Not at every note, as its expiry is in two indexes.
  if v_output > 0 or p_hold.expires_at < now() + interval '4 minutes' then
    update public.reservations r set amount = r.amount + note_generation.amount, expires_at = now() + interval '5 minutes'
     where r.id = p_hold.id;
  end if;
  generation := p_generation;
  generation.provider := coalesce(p_item ->> 'provider', generation.provider);
  generation.upstream_id := coalesce(p_item ->> 'upstream_id', generation.upstream_id);
  generation.input_seen := coalesce((p_item ->> 'input_seen')::bigint, generation.input_seen);
  generation.output_seen := coalesce((p_item ->> 'output_seen')::bigint, generation.output_seen);
  generation.input_floor := coalesce((p_item ->> 'input_floor')::bigint, generation.input_floor);
  generation.output_floor := coalesce((p_item ->> 'output_floor')::bigint, generation.output_floor);
  answer := jsonb_build_object('output_tokens', v_output);
end
$$;
comment on function private.note_generation(public.balances, public.generations, public.reservations, jsonb) is
  'Holds more tokens for a running chat request, fewer than asked for where fewer are left. Returns the answer {output_tokens}, the generation with how far it has come, and the amount its hold grew by, or RESERVATION_SETTLED alone. The balance must be locked by the caller, who takes the amount from it.';

-- In short what is quickly read: months, by what everybody used on their days. In full each device and user, from the rollups.
create or replace function private.prove_subjects(p_full boolean)
returns table (place integer, title text, checked bigint, discrepancies jsonb)
language plpgsql stable set search_path = '' set work_mem = '64MB'
as $$
begin
  return query
  with
  days as materialized (
    select s.day, date_trunc('month', s.day::timestamp)::date as month from private.summed_days s
     where s.summed_at is not null and s.subjects_at is not null
       and not exists (select from private.changed_days c where c.day = s.day)
  ),
  months as materialized (
    select d.month from days d
     group by d.month having count(*) = extract(day from d.month + interval '1 month' - interval '1 day')
  ),
  stated as (
    select to_char(u.month, 'YYYY-MM') as part, case when p_full then u.subject_id end as subject_id,
           array[sum(u.events), sum(u.prompts), sum(u.input_tokens), sum(u.output_tokens), sum(u.total_tokens), sum(u.cost),
                 sum(u.nano_usd)] as sums
      from months m join private.monthly_subject_usage u on u.month = m.month
     group by 1, 2
    union all
    select to_char(u.day, 'YYYY-MM-DD'), u.subject_id,
           array[u.events, u.prompts, u.input_tokens, u.output_tokens, u.total_tokens, u.cost, u.nano_usd]
      from days d join private.daily_subject_usage u on u.day = d.day
     where p_full
  ),
  used as materialized (
    select u.day, null::uuid as subject_id, u.events, u.prompts, u.input_tokens, u.output_tokens, u.total_tokens, u.cost,
           u.nano_usd
      from private.daily_usage u where not p_full
    union all
    select (r.bucket at time zone 'UTC')::date, r.subject_id, sum(r.events), sum(r.prompts), sum(r.input_tokens),
           sum(r.output_tokens), sum(r.total_tokens), sum(r.cost), sum(r.nano_usd)
      from (
        select * from public.usage_rollups where p_full
        union all
        select * from private.unpack_rollups('-infinity', 'infinity') where p_full
      ) r
     group by 1, 2
  ),
  proven as (
    select to_char(m.month, 'YYYY-MM') as part, u.subject_id,
           array[sum(u.events), sum(u.prompts), sum(u.input_tokens), sum(u.output_tokens), sum(u.total_tokens), sum(u.cost),
                 sum(u.nano_usd)] as sums
      from months m join used u on date_trunc('month', u.day::timestamp)::date = m.month
     group by 1, 2
    union all
    select to_char(u.day, 'YYYY-MM-DD'), u.subject_id,
           array[u.events, u.prompts, u.input_tokens, u.output_tokens, u.total_tokens, u.cost, u.nano_usd]
      from days d join used u on u.day = d.day
     where p_full
  ),
  compared as (
    select concat_ws(' ', coalesce(s.part, p.part), coalesce(s.subject_id, p.subject_id)) as subject,
           coalesce(s.sums, array_fill(0::numeric, '{7}')) as stated, coalesce(p.sums, array_fill(0::numeric, '{7}')) as proven
      from stated s
      full join proven p
        on p.part = s.part
       and coalesce(p.subject_id, '00000000-0000-0000-0000-000000000000') = coalesce(s.subject_id, '00000000-0000-0000-0000-000000000000')
  )
  select 14, 'subjects'' sums = sums of rollups', count(*),
         coalesce(
           jsonb_agg(jsonb_build_object('subject', c.subject, 'stated', c.stated, 'proven', c.proven))
             filter (where c.stated is distinct from c.proven),
           '[]'
         )
    from compared c;
end
$$;
comment on function private.prove_subjects(boolean) is
  'Proves what devices and users used in months from everybody''s daily sums, or with p_full each of their days and months from the rollups; days that are to be summed anew, and their months, are not used, and not proved.';

create or replace function private.recent_days(p_days integer)
returns table (day date, starts timestamptz, ends timestamptz, is_summed boolean)
language sql stable set search_path = ''
as $$
  select (d.starts at time zone 'UTC')::date, d.starts, d.starts + interval '1 day', exists (
           select from private.summed_days s
            where s.day = (d.starts at time zone 'UTC')::date and s.summed_at is not null
              and not exists (select from private.changed_days c where c.day = s.day)
         )
    from generate_series(
      date_trunc('day', now(), 'UTC') - make_interval(days => p_days - 1), date_trunc('day', now(), 'UTC'), interval '1 day'
    ) d(starts)
$$;
comment on function private.recent_days(integer) is
  'Returns the last so many days (UTC), today last, and whether daily_usage may be used for them.';

-- The caller holds the device's balance, which serialises calls with this key.
create or replace function private.repeated_answer(
  p_device_id uuid, p_earlier private.device_keys, p_request_hash bigint
)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_event_id uuid;
begin
  if p_earlier.request_hash <> p_request_hash then
    return '{"code": "IDEMPOTENCY_MISMATCH"}';
  elsif p_earlier.answer is not null then
    return p_earlier.answer;
  end if;
  v_event_id := private.keyed_event_id(p_earlier.key, p_earlier.created_at);
  return jsonb_build_object(
    'event_id', v_event_id,
    'tokens_used', (
      select e.cost from public.usage_events e
       where e.subject_id = p_device_id and e.occurred_at = p_earlier.created_at and e.id = v_event_id
    ),
    'remaining', p_earlier.remaining
  );
end
$$;
comment on function private.repeated_answer(uuid, private.device_keys, bigint) is
  'Returns the answer a device was given to an idempotency key before, made of its event where it was a debit; {code: IDEMPOTENCY_MISMATCH} for another request.';

-- The item is one of meter_chat's. The caller has locked the balance, takes the hold's amount from it, and inserts the hold
-- and the generation.
create or replace function private.reserve_generation(
  p_user_id uuid, p_balance public.balances, p_item jsonb,
  out answer jsonb, out hold public.reservations, out generation public.generations
)
language plpgsql volatile set search_path = ''
as $$
declare
  v_hold constant uuid := p_item ->> 'hold';
  v_model constant text := p_item ->> 'model';
  v_input constant bigint := p_item ->> 'input_estimate';
  v_wanted constant bigint := p_item ->> 'output_tokens';
  v_remaining constant bigint := p_balance.remaining;
  v_problem text;
  v_weight public.model_weights;
  v_generation public.generations;
  v_output bigint;
  v_amount bigint;
  v_least bigint;
begin
  if p_user_id is null and p_item ->> 'google_subject' is not null then
    answer := '{"code": "USER_NOT_FOUND"}';
    return;
  elsif v_remaining is null then
    answer := '{"code": "INVALID_TOKEN"}';
    return;
  end if;
  if p_item ->> 'google_subject' is not null
     and not private.is_google_token_proved(p_user_id, p_item ->> 'google_token_hash')
  then
    answer := '{"code": "SECOND_FACTOR_REQUIRED"}';
    return;
  end if;
  v_problem := private.credential_problem(
    p_user_id, (p_item ->> 'session_id')::uuid, (p_item ->> 'api_key_id')::uuid, 'chat'
  );
  if v_problem is not null then
    answer := jsonb_build_object('code', v_problem);
    return;
  end if;

  v_weight := private.find_model_weight(v_model);
  v_generation.input_weight := coalesce(v_weight.input_weight, 1);
  v_generation.output_weight := coalesce(v_weight.output_weight, 1);
  -- Some answers, such as embeddings, have no tokens; all others have one at least.
  v_least := private.weighted_tokens(v_generation, v_input, least(v_wanted, 1));
  if v_remaining < v_least then
    answer := jsonb_build_object('code', 'INSUFFICIENT_TOKENS', 'requested', v_least, 'remaining', v_remaining);
    return;
  end if;
  if p_item ->> 'idempotency_key' is not null then
    v_problem := private.claim_generation_key(p_user_id, p_item);
    if v_problem is not null then
      answer := jsonb_build_object('code', v_problem);
      return;
    end if;
  end if;

  v_output := private.affordable_tokens(
    v_wanted, v_remaining - v_input * v_generation.input_weight, v_generation.output_weight
  );
  v_amount := private.weighted_tokens(v_generation, v_input, v_output);
  answer := jsonb_build_object('output_tokens', v_output, 'remaining', v_remaining - v_amount);
  hold := row(
    v_hold, p_user_id, v_amount, 'held', v_model, 1, null, now() + interval '5 minutes', now(), null
  )::public.reservations;
  -- With its weights and prices, which hold for all of the request, whatever becomes of the model's.
  generation := row(
    v_hold, p_user_id, p_item ->> 'source', v_model, null, null, v_input, null, null, null, 0, null, 0, now(),
    coalesce((p_item ->> 'streamed')::boolean, false), null, null, 0, 0, v_generation.input_weight,
    v_generation.output_weight, (p_item ->> 'input_price')::numeric, (p_item ->> 'output_price')::numeric,
    (p_item ->> 'request_price')::numeric
  )::public.generations;
end
$$;
comment on function private.reserve_generation(uuid, public.balances, jsonb) is
  'Prices a chat request and decides on its hold; the item of somebody with a google_subject has the SHA-256 of their access token in google_token_hash, for accounts with a second factor. Returns the answer {output_tokens, remaining}, with the hold and the generation to insert, or {code, …} alone where it is refused. The balance must be locked by the caller, who takes the hold from it.';

-- Only the first settlement counts: one that is sent again finds the hold closed, and gets the same answer.
create or replace function private.settle_generation(
  p_balance public.balances, p_generation public.generations, p_hold public.reservations, p_item jsonb,
  p_has_pool boolean, out answer jsonb, out balance public.balances, out generation public.generations,
  out hold public.reservations, out event public.usage_events
)
language plpgsql volatile set search_path = ''
as $$
declare
  v_input constant bigint := p_item ->> 'input_tokens';
  v_output constant bigint := p_item ->> 'output_tokens';
  v_nano_usd constant bigint := p_item ->> 'nano_usd';
  v_provenance constant text := p_item ->> 'provenance';
  v_closed record;
begin
  balance := p_balance;
  p_generation.provider := coalesce(p_item ->> 'provider', p_generation.provider);
  p_generation.upstream_id := coalesce(p_item ->> 'upstream_id', p_generation.upstream_id);
  p_generation.input_floor := coalesce((p_item ->> 'input_floor')::bigint, p_generation.input_floor);
  p_generation.output_floor := coalesce((p_item ->> 'output_floor')::bigint, p_generation.output_floor);

  if p_hold.status = 'held' then
    if v_input + v_output > 0 then
      v_closed := private.close_generation(
        p_balance, p_generation, p_hold, 'settled', v_provenance, v_input, v_output, v_nano_usd
      );
    else
      -- What was not billed may be asked for again with the same key.
      delete from private.idempotency_keys k
       where k.subject_id = p_generation.subject_id and k.answer = jsonb_build_object('hold', p_generation.id);
      v_closed := private.close_generation(p_balance, p_generation, p_hold, 'released', null, 0, 0, null);
    end if;
    balance := v_closed.balance;
    -- What is left where debt is paid is known once that is written, and a correction builds on what is written.
    if balance.debt > 0 or p_has_pool then
      perform private.write_balances(array[balance]);
      select b.* into strict balance from public.balances b where b.subject_id = balance.subject_id;
    end if;
    generation := v_closed.generation;
    hold := v_closed.hold;
    event := v_closed.event;
    answer := jsonb_build_object(
      'tokens_used', private.weighted_tokens(generation, v_input, v_output), 'remaining', balance.remaining
    );
    return;
  end if;

  if p_hold.status = 'lost' and p_generation.provenance = 'estimated'
    and exists (select from public.users u where u.id = p_generation.subject_id) then
    -- A server that was out of reach for long knows what its stream came to; what it was settled at is an estimate.
    if not p_has_pool then
      raise sqlstate '40001' using message = 'a hold was given up for lost at the same time';
    end if;
    p_generation.reconcile_at := case
      when v_provenance = 'estimated' and p_generation.upstream_id is not null then now()
    end;
    perform private.change_settlement(
      p_generation, v_provenance, v_input, v_output, v_nano_usd, 'system:late_settlement'
    );
    update public.reservations r set status = 'settled' where r.id = p_hold.id;
    select b.* into strict balance from public.balances b where b.subject_id = p_generation.subject_id;
  end if;
  select jsonb_build_object(
           'tokens_used', private.weighted_tokens(g, g.input_tokens, g.output_tokens), 'remaining', balance.remaining
         )
    into strict answer
    from public.generations g where g.id = p_generation.id;
end
$$;
comment on function private.settle_generation(
  public.balances, public.generations, public.reservations, jsonb, boolean
) is
  'Settles a chat request with what it used. Returns the answer {tokens_used, remaining}, and, where this closed its hold, what close_generation does. The balance must be locked by the caller, and the pool, as p_has_pool says, where the hold was given up for lost.';

-- What is not known any more is settled at what was noted of it, and a little more, as something may have come since the
-- last note: a running stream is noted every 512 tokens, so that with half of them neither side is out by more than the
-- other half. Answers that come whole are not noted, and upstream finishes and bills them whatever happens here: they
-- are settled at the whole hold. So is what runs still, when its account ends.
create or replace function private.settle_lost_generations(
  p_subjects uuid[], p_expired_by timestamptz, p_except uuid[] default '{}'
)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_allowance constant bigint := 256;
  v_lost record;
  v_balance public.balances;
  v_closed record;
  v_seen bigint;
  v_held numeric;
  v_output bigint;
  v_generations public.generations[] := '{}';
  v_holds public.reservations[] := '{}';
  v_events public.usage_events[] := '{}';
begin
  for v_lost in
    select g as generation, r as hold
      from public.reservations r join public.generations g on g.id = r.id
     where r.subject_id = any (p_subjects) and r.status = 'held' and r.expires_at <= p_expired_by
       and r.id <> all (p_except)
     order by r.id
  loop
    v_seen := coalesce((v_lost.generation).output_seen, 0);
    v_held := (v_lost.hold).amount - (v_lost.generation).input_estimate * (v_lost.generation).input_weight;
    v_output := case
      when (v_lost.generation).streamed and (v_lost.hold).expires_at <= now()
        then private.affordable_tokens(v_seen + v_allowance, v_held, (v_lost.generation).output_weight)
      when (v_lost.generation).output_weight > 0 then floor(v_held / (v_lost.generation).output_weight)
      else 0
    end;
    select b.* into strict v_balance from public.balances b where b.subject_id = (v_lost.hold).subject_id;
    v_closed := private.close_generation(
      v_balance, v_lost.generation, v_lost.hold, 'lost', 'estimated',
      coalesce((v_lost.generation).input_seen, (v_lost.generation).input_estimate), greatest(v_output, v_seen), null
    );
    perform private.write_balances(array[v_closed.balance]);
    v_generations := v_generations || v_closed.generation;
    v_holds := v_holds || v_closed.hold;
    if (v_closed.event).id is not null then
      v_events := v_events || v_closed.event;
    end if;
  end loop;
  if cardinality(v_holds) > 0 then
    perform private.write_closed_generations(v_generations, v_holds, v_events);
  end if;
  return cardinality(v_holds);
end
$$;
comment on function private.settle_lost_generations(uuid[], timestamptz, uuid[]) is
  'Settles generations whose server went away, except those given: streams at what was noted of them and up to 256 tokens more, answers that come whole, and what runs still, at their holds. Returns how many. The balances must be locked by the caller.';

create or replace function private.start_bulk_change(p_actor jsonb, p_id uuid)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_change private.bulk_changes;
begin
  update private.bulk_changes c set started_at = now()
   where c.id = p_id and c.started_at is null and c.stopped_at is null
  returning * into v_change;
  if found then
    -- The audit log can never be cleaned, so it does not say what was searched for.
    perform private.audit_admin(
      p_actor, 'begin_bulk_change', 'bulk_change:' || p_id, null,
      v_change.change || jsonb_build_object(
        'kind', v_change.subject_kind, 'filter', v_change.filter, 'searched', v_change.query is not null,
        'matched', v_change.matched
      )
    );
  end if;
end
$$;
comment on function private.start_bulk_change(jsonb, uuid) is
  'Notes that a bulk change is no preview any more, and who began it; nothing where that was noted before.';

create or replace function private.subject_source(
  p_is_named boolean, p_starts timestamptz[], p_from timestamptz, p_to timestamptz
)
returns text
language plpgsql stable set search_path = ''
as $$
declare
  v_days date[];
  v_months date[];
  v_rest tstzmultirange;
begin
  -- Months and days that are summed up, where no period begins within one. Of these there are no names.
  with
  days as materialized (
    select s.*, date_trunc('month', s.day::timestamp)::date as month
      from (
        select c.day, c.day::timestamp at time zone 'UTC' as starts, (c.day + 1)::timestamp at time zone 'UTC' as ends
          from private.summed_days c
         where not p_is_named and c.summed_at is not null and c.subjects_at is not null
           and c.day >= (p_from at time zone 'UTC')::date and c.day < (p_to at time zone 'UTC')::date
           and not exists (select from private.changed_days n where n.day = c.day)
      ) s
     where s.starts >= p_from
       and width_bucket(s.ends - interval '1 microsecond', p_starts) is not distinct from width_bucket(s.starts, p_starts)
  ),
  months as materialized (
    select d.month from days d
     group by d.month
    having count(*) = extract(day from d.month + interval '1 month' - interval '1 day')
       and width_bucket(max(d.starts), p_starts) is not distinct from width_bucket(min(d.starts), p_starts)
  )
  select array_agg(d.day) filter (where m.month is null), array_agg(distinct d.month) filter (where m.month is not null),
         tstzmultirange(tstzrange(p_from, p_to)) - coalesce(range_agg(tstzrange(d.starts, d.ends)), '{}'::tstzmultirange)
    into v_days, v_months, v_rest
    from days d left join months m on m.month = d.month;
  return concat_ws(
    ' union all ',
    case when v_months is not null then format(
      $source$
        select m.month::timestamp at time zone 'UTC' as bucket, m.subject_id, null::text as provider, null::text as model,
               null::text as source, m.events, m.prompts, m.input_tokens, m.output_tokens, m.total_tokens, m.cost, m.nano_usd
          from private.monthly_subject_usage m where m.month = any (%L)
      $source$,
      v_months
    ) end,
    case when v_days is not null then format(
      $source$
        select d.day::timestamp at time zone 'UTC' as bucket, d.subject_id, null::text as provider, null::text as model,
               null::text as source, d.events, d.prompts, d.input_tokens, d.output_tokens, d.total_tokens, d.cost, d.nano_usd
          from private.daily_subject_usage d where d.day = any (%L)
      $source$,
      v_days
    ) end,
    case
      when isempty(v_rest) then null
      -- Mostly it is one piece, where conditions are looked at before anything is copied.
      when v_rest = tstzmultirange(range_merge(v_rest)) then format(
        $source$
          select u.bucket, u.subject_id, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
                 u.total_tokens, u.cost, u.nano_usd
            from public.usage_rollups u where u.bucket >= %1$L and u.bucket < %2$L
          union all
          select u.bucket, u.subject_id, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
                 u.total_tokens, u.cost, u.nano_usd
            from private.unpack_rollups(%1$L, %2$L) u
        $source$,
        lower(v_rest), upper(v_rest)
      )
      else format(
        $source$
          select u.bucket, u.subject_id, u.provider, u.model, u.source, u.events, u.prompts, u.input_tokens, u.output_tokens,
                 u.total_tokens, u.cost, u.nano_usd
            from unnest(%L::tstzmultirange) x(part)
           cross join lateral (
             select * from public.usage_rollups l where l.bucket >= lower(x.part) and l.bucket < upper(x.part)
             union all
             select * from private.unpack_rollups(lower(x.part), upper(x.part))
             offset 0
           ) u
        $source$,
        v_rest
      )
    end
  );
end
$$;
comment on function private.subject_source(boolean, timestamptz[], timestamptz, timestamptz) is
  'Returns the SQL of rows (bucket, subject_id, provider, model, source, sums) that everybody''s use between two times is added up from, subject by subject; names are known with p_is_named only. None of them is of two periods, whose starts are given.';

-- Who changes a day without a note has written to it before it was closed, so a day is summed once all transactions that were
-- under way then have ended. Notes are taken away before anything is read: whoever commits meanwhile leaves a note that stays.
create or replace function private.sum_days(p_limit integer)
returns integer
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan' set jit = off
as $$
declare
  v_first constant date := (now() at time zone 'UTC')::date - 1100;
  v_last constant date := ((now() - interval '24 hours') at time zone 'UTC')::date - 1;
  v_day date;
  v_from timestamptz;
  v_to timestamptz;
  v_summed date[] := '{}';
begin
  insert into private.summed_days (day)
  select d::date
    from (select (min(t.bucket) at time zone 'UTC')::date as first from public.usage_totals t) kept
   cross join lateral generate_series(
     case when kept.first is not null then greatest(v_first, kept.first) end::timestamp, v_last::timestamp, interval '1 day'
   ) d
  on conflict (day) do nothing;
  -- Transactions of another cluster, which a backup came from, say nothing.
  update private.summed_days set closed_by = default where summed_at is null and closed_by > pg_current_xact_id();
  delete from private.changed_days c
   where c.day < v_first and not exists (select from private.summed_days s where s.day = c.day);

  for v_day in
    select s.day from private.summed_days s
     where case
             when s.summed_at is null then s.closed_by < pg_snapshot_xmin(pg_current_snapshot())
             else s.subjects_at is null or exists (select from private.changed_days c where c.day = s.day)
           end
     order by s.day desc limit p_limit
  loop
    delete from private.changed_days where day = v_day;
    v_from := v_day::timestamp at time zone 'UTC';
    v_to := (v_day + 1)::timestamp at time zone 'UTC';
    delete from private.quarter_hour_usage where bucket >= v_from and bucket < v_to;
    insert into private.quarter_hour_usage
    select r.bucket, r.provider, r.model, r.source, sum(r.events), sum(r.prompts),
           sum(r.input_tokens), sum(r.output_tokens), sum(r.total_tokens), sum(r.cost), sum(r.nano_usd)
      from (
        select * from public.usage_rollups l where l.bucket >= v_from and l.bucket < v_to
        union all
        select * from private.unpack_rollups(v_from, v_to)
      ) r
     group by r.bucket, r.provider, r.model, r.source;
    delete from private.daily_usage where day = v_day;
    insert into private.daily_usage
    select v_day, q.provider, q.model, q.source, sum(q.events), sum(q.prompts), sum(q.input_tokens), sum(q.output_tokens),
           sum(q.total_tokens), sum(q.cost), sum(q.nano_usd)
      from private.quarter_hour_usage q
     where q.bucket >= v_from and q.bucket < v_to
     group by q.provider, q.model, q.source;
    update private.summed_days set summed_at = now(), subjects_at = now() where day = v_day;
    v_summed := v_summed || v_day;
  end loop;
  if v_summed <> '{}' then
    perform private.sum_subjects(v_summed);
  end if;
  return cardinality(v_summed);
end
$$;
comment on function private.sum_days(integer) is
  'Sums up days that are over, with their quarter hours and by subject, and anew those in which something changed since, so many at most; returns how many.';

-- Only what differs is written, as a day that is summed anew is the same for nearly all; and its month gets the difference.
create or replace function private.sum_subjects(p_days date[])
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan' set jit = off
as $$
declare
  v_gone date[];
begin
  with
  summed as (
    select d.day, r.subject_id, sum(r.events)::bigint as events, sum(r.prompts)::bigint as prompts,
           sum(r.input_tokens)::bigint as input_tokens, sum(r.output_tokens)::bigint as output_tokens,
           sum(r.total_tokens)::bigint as total_tokens, sum(r.cost)::bigint as cost, sum(r.nano_usd)::bigint as nano_usd
      from unnest(p_days) d(day)
     cross join lateral (
       select d.day::timestamp at time zone 'UTC' as starts, (d.day + 1)::timestamp at time zone 'UTC' as ends
     ) b
     cross join lateral (
       select * from public.usage_rollups l where l.bucket >= b.starts and l.bucket < b.ends
       union all
       select * from private.unpack_rollups(b.starts, b.ends)
     ) r
     group by d.day, r.subject_id
  ),
  known as (
    select * from private.daily_subject_usage d where d.day = any (p_days)
  ),
  changed as materialized (
    select coalesce(s.day, k.day) as day, coalesce(s.subject_id, k.subject_id) as subject_id, s.subject_id is null as is_gone,
           s.events, s.prompts, s.input_tokens, s.output_tokens, s.total_tokens, s.cost, s.nano_usd,
           coalesce(s.events, 0) - coalesce(k.events, 0) as more_events,
           coalesce(s.prompts, 0) - coalesce(k.prompts, 0) as more_prompts,
           coalesce(s.input_tokens, 0) - coalesce(k.input_tokens, 0) as more_input_tokens,
           coalesce(s.output_tokens, 0) - coalesce(k.output_tokens, 0) as more_output_tokens,
           coalesce(s.total_tokens, 0) - coalesce(k.total_tokens, 0) as more_total_tokens,
           coalesce(s.cost, 0) - coalesce(k.cost, 0) as more_cost,
           coalesce(s.nano_usd, 0) - coalesce(k.nano_usd, 0) as more_nano_usd
      from summed s
      full join known k on k.day = s.day and k.subject_id = s.subject_id
     where (s.events, s.prompts, s.input_tokens, s.output_tokens, s.total_tokens, s.cost, s.nano_usd) is distinct from
           (k.events, k.prompts, k.input_tokens, k.output_tokens, k.total_tokens, k.cost, k.nano_usd)
  ),
  gone as (
    delete from private.daily_subject_usage d using changed c
     where c.is_gone and d.day = c.day and d.subject_id = c.subject_id
    returning date_trunc('month', d.day::timestamp)::date as month
  ),
  written as (
    insert into private.daily_subject_usage
    select c.day, c.subject_id, c.events, c.prompts, c.input_tokens, c.output_tokens, c.total_tokens, c.cost, c.nano_usd
      from changed c where not c.is_gone
    on conflict (day, subject_id) do update
      set events = excluded.events, prompts = excluded.prompts, input_tokens = excluded.input_tokens,
          output_tokens = excluded.output_tokens, total_tokens = excluded.total_tokens, cost = excluded.cost,
          nano_usd = excluded.nano_usd
  ),
  added as (
    insert into private.monthly_subject_usage as m
    select date_trunc('month', c.day::timestamp)::date, c.subject_id, sum(c.more_events), sum(c.more_prompts),
           sum(c.more_input_tokens), sum(c.more_output_tokens), sum(c.more_total_tokens), sum(c.more_cost),
           sum(c.more_nano_usd)
      from changed c
     group by 1, 2
    on conflict (month, subject_id) do update
      set events = m.events + excluded.events, prompts = m.prompts + excluded.prompts,
          input_tokens = m.input_tokens + excluded.input_tokens, output_tokens = m.output_tokens + excluded.output_tokens,
          total_tokens = m.total_tokens + excluded.total_tokens, cost = m.cost + excluded.cost,
          nano_usd = m.nano_usd + excluded.nano_usd
  )
  select array_agg(distinct g.month) into v_gone from gone g;
  delete from private.monthly_subject_usage m where m.month = any (v_gone) and m.events = 0;
end
$$;
comment on function private.sum_subjects(date[]) is
  'Sums up what each device and user used on some days, and brings their months up to date.';

create or replace function private.top_models(p_days integer)
returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(m) order by m.prompts desc, m.model), '[]')
      from (
        select u.model, sum(u.events)::bigint as events, sum(u.prompts)::bigint as prompts,
               sum(u.total_tokens)::bigint as total_tokens, sum(u.cost)::bigint as cost, sum(u.nano_usd)::bigint as nano_usd
          from private.recent_days(p_days) d
         cross join lateral (
           select s.model, s.events, s.prompts, s.total_tokens, s.cost, s.nano_usd
             from private.daily_usage s where d.is_summed and s.day = d.day
           union all
           select r.model, r.events, r.prompts, r.total_tokens, r.cost, r.nano_usd
             from public.usage_rollups r where not d.is_summed and r.bucket >= d.starts and r.bucket < d.ends
           union all
           select r.model, r.events, r.prompts, r.total_tokens, r.cost, r.nano_usd
             from private.unpack_rollups(d.starts, d.ends) r where not d.is_summed
         ) u
         group by u.model
         order by prompts desc, u.model
         limit 10
      ) m
  );
end
$$;
comment on function private.top_models(integer) is 'Returns the ten models everybody used most in the last so many days (UTC), by prompts.';

create or replace function private.usage_by_day(p_days integer)
returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return (
    select jsonb_agg(
             jsonb_build_object(
               'day', to_char(d.day, 'YYYY-MM-DD'), 'events', u.events, 'prompts', u.prompts,
               'total_tokens', u.total_tokens, 'cost', u.cost, 'nano_usd', u.nano_usd
             ) order by d.day
           )
      from private.recent_days(p_days) d
     cross join lateral (
       select coalesce(sum(x.events), 0) as events, coalesce(sum(x.prompts), 0) as prompts,
              coalesce(sum(x.total_tokens), 0) as total_tokens, coalesce(sum(x.cost), 0) as cost,
              coalesce(sum(x.nano_usd), 0) as nano_usd
         from (
           select s.events, s.prompts, s.total_tokens, s.cost, s.nano_usd
             from private.daily_usage s where d.is_summed and s.day = d.day
           union all
           select t.events, t.prompts, t.total_tokens, t.cost, t.nano_usd
             from public.usage_totals t where not d.is_summed and t.bucket >= d.starts and t.bucket < d.ends
         ) x
     ) u
  );
end
$$;
comment on function private.usage_by_day(integer) is 'Returns usage of everybody per day (UTC), today last, days without any included.';

create or replace function private.write_balances(p_balances public.balances[])
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
begin
  if cardinality(p_balances) = 1 then
    v_balance := p_balances[1];
    update public.balances b
       set used = v_balance.used, reserved = v_balance.reserved, debt = v_balance.debt, updated_at = now()
     where b.subject_id = v_balance.subject_id;
    return;
  end if;
  update public.balances b set used = c.used, reserved = c.reserved, debt = c.debt, updated_at = now()
    from unnest(p_balances) c
   where b.subject_id = c.subject_id and (b.used, b.reserved, b.debt) is distinct from (c.used, c.reserved, c.debt);
end
$$;
comment on function private.write_balances(public.balances[]) is
  'Writes what is used, reserved and owed of balances that the caller has locked, as far as that has changed.';

create or replace function private.write_closed_generations(
  p_generations public.generations[], p_holds public.reservations[], p_events public.usage_events[]
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_hold public.reservations;
  v_generation public.generations;
begin
  -- One alone is nearly all there is where few people are about, and is written with less.
  if cardinality(p_generations) = 1 then
    v_hold := p_holds[1];
    v_generation := p_generations[1];
    update public.reservations r
       set status = v_hold.status, closed_at = now(), usage_event_id = v_hold.usage_event_id
     where r.id = v_hold.id;
    update public.generations g
       set provenance = v_generation.provenance, input_tokens = v_generation.input_tokens,
           output_tokens = v_generation.output_tokens, provider = v_generation.provider,
           upstream_id = v_generation.upstream_id, input_floor = v_generation.input_floor,
           output_floor = v_generation.output_floor, reconcile_at = v_generation.reconcile_at
     where g.id = v_generation.id;
  else
    update public.reservations r set status = h.status, closed_at = now(), usage_event_id = h.usage_event_id
      from unnest(p_holds) h
     where r.id = h.id;
    update public.generations g
       set provenance = c.provenance, input_tokens = c.input_tokens, output_tokens = c.output_tokens,
           provider = c.provider, upstream_id = c.upstream_id, input_floor = c.input_floor,
           output_floor = c.output_floor, reconcile_at = c.reconcile_at
      from unnest(p_generations) c
     where g.id = c.id;
  end if;
  if cardinality(p_events) > 0 then
    perform private.record_usage_events(p_events);
  end if;
end
$$;
comment on function private.write_closed_generations(
  public.generations[], public.reservations[], public.usage_events[]
) is 'Writes what close_generation returned, for all of them at once.';

create or replace function private.write_noted_generations(p_generations public.generations[])
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_generation public.generations;
begin
  if cardinality(p_generations) = 1 then
    v_generation := p_generations[1];
    update public.generations g
       set provider = v_generation.provider, upstream_id = v_generation.upstream_id,
           input_seen = v_generation.input_seen, output_seen = v_generation.output_seen,
           input_floor = v_generation.input_floor, output_floor = v_generation.output_floor
     where g.id = v_generation.id;
    return;
  end if;
  update public.generations g
     set provider = n.provider, upstream_id = n.upstream_id, input_seen = n.input_seen, output_seen = n.output_seen,
         input_floor = n.input_floor, output_floor = n.output_floor
    from unnest(p_generations) n
   where g.id = n.id;
end
$$;
comment on function private.write_noted_generations(public.generations[]) is
  'Writes what note_generation returned, for all of them at once.';

-- Any number of servers may call it: each does the next hundred of another change, or nothing.
create or replace function public.carry_on_bulk_change()
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: changes devices, accounts and balances, which no API role may.
declare
  v_id uuid;
  v_run_as jsonb;
begin
  -- At random, so that one that fails again and again does not keep the others.
  select c.id, c.run_as into v_id, v_run_as
    from private.bulk_changes c where c.run_as is not null order by random() limit 1 for update skip locked;
  if v_id is null then
    return jsonb_build_object('id', null, 'runs', false);
  end if;
  begin
    perform private.require_admin(v_run_as);
  exception
    -- The admin was removed or may not act any more, or ended the session: whoever continues it does so in their own name.
    when sqlstate 'PT401' or sqlstate 'PT403' then
      perform private.end_bulk_run(v_id);
      return jsonb_build_object('id', v_id, 'runs', false);
  end;
  perform private.do_bulk_chunk(v_run_as, v_id);
  if not exists (select from private.bulk_chunks k where k.change_id = v_id and k.outcome is null) then
    perform private.end_bulk_run(v_id);
  end if;
  return jsonb_build_object(
    'id', v_id, 'runs', (select c.run_as is not null from private.bulk_changes c where c.id = v_id)
  );
end
$$;
grant execute on function public.carry_on_bulk_change() to service_role;
comment on function public.carry_on_bulk_change() is
  'Does the next hundred of a bulk change that the server does by itself, in the name of the admin who had it do so; pauses it where that admin may not act any more. Returns {id, runs}: which, null for none, and whether it goes on.';

-- One chunk a call, thus a transaction: debits and others who change the pool come in between. Calls at once do different chunks.
create or replace function public.continue_bulk_change(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: changes devices, accounts and balances, which no API role may.
begin
  perform private.require_admin(p_actor);
  perform private.start_bulk_change(p_actor, p_id);
  perform private.do_bulk_chunk(p_actor, p_id);
  return private.bulk_change_json(p_id);
end
$$;
grant execute on function public.continue_bulk_change(jsonb, uuid) to service_role;
comment on function public.continue_bulk_change(jsonb, uuid) is
  'Does the next hundred of a bulk change, each of whom is changed, refused, or skipped where it matches no more; nothing where none is left or it was stopped. Returns what bulk_change_json returns; raises BULK_CHANGE_NOT_FOUND.';

-- Reads balances, rollups and totals, never events.
create or replace function public.get_overview(p_actor jsonb)
returns jsonb
language plpgsql stable security definer set search_path = '' set timezone = 'UTC' set jit = off
as $$
-- Definer: reads everybody's, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return jsonb_build_object(
    'pools', jsonb_build_object('devices', private.budget_json('device'), 'users', private.budget_json('user')),
    'devices', (
      select jsonb_build_object(
               'count', count(*), 'blocked', count(*) filter (where d.blocked),
               'near_limit', count(*) filter (where b.remaining * 10 <= b.allocated)
             )
        from public.devices d join public.balances b on b.subject_id = d.id where d.deleted_at is null
    ),
    'people', (
      select jsonb_build_object(
               'count', count(*), 'suspended', count(*) filter (where u.suspended_at is not null),
               'near_limit', count(*) filter (where b.remaining * 10 <= b.allocated)
             )
        from public.users u left join public.balances b on b.subject_id = u.id
    ),
    'period', (
      select jsonb_build_object('number', p.number, 'started_at', p.started_at, 'default_tokens', p.default_tokens)
        from public.periods p order by p.number desc limit 1
    ),
    'ledger', (
      select jsonb_build_object(
               'checked_at', c.checked_at, 'milliseconds', c.milliseconds, 'discrepancies', c.discrepancies,
               'failing', to_jsonb(c.failing)
             )
        from private.ledger_checks c order by c.id desc limit 1
    ),
    'usage', private.usage_by_day(30),
    'top_devices', private.top_subjects('device'),
    'top_people', private.top_subjects('user'),
    'top_models', private.top_models(30)
  );
end
$$;
grant execute on function public.get_overview(jsonb) to service_role;
comment on function public.get_overview(jsonb) is
  'Returns what the console shows first: pools, counts of devices and people, the period, the last proof of the books, 30 days of usage, and who and what used most.';

create or replace function public.meter_chat(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan'
-- A session keeps its plans, also those it made while the tables were small, when reading them whole looked cheapest.
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
-- Definer: the only writer of generations; no API role may write balances, holds or events itself.
declare
  v_count constant integer := jsonb_array_length(p_items);
  v_item jsonb;
  v_op text;
  v_hold uuid;
  v_subject uuid;
  v_subjects uuid[];
  v_is_late boolean;
  v_has_late boolean := false;
  v_has_lost boolean;
  v_balances public.balances[];
  v_owners uuid[];
  v_position integer;
  v_balance public.balances;
  v_amount bigint;
  v_has_changed boolean := false;
  v_refused uuid[];
  v_refused_price bigint[];
  v_running record;
  v_reserved record;
  v_noted record;
  v_settled record;
  v_answers jsonb[] := array_fill(null::jsonb, array[v_count]);
  v_new_holds public.reservations[];
  v_new_generations public.generations[];
  v_changed_ids uuid[];
  v_noted_generations public.generations[];
  v_closed_holds public.reservations[];
  v_closed_generations public.generations[];
  v_events public.usage_events[];
begin
  -- Whose balance each item is about.
  for v_at in 1 .. v_count loop
    v_item := p_items -> v_at - 1;
    v_subject := v_item ->> 'id';
    v_hold := v_item ->> 'hold';
    if v_item ->> 'op' <> 'reserve' then
      select g.subject_id, g.provenance = 'estimated' and v_item ->> 'op' = 'settle' into v_subject, v_is_late
        from public.generations g where g.id = v_hold;
      v_has_late := v_has_late or v_is_late is true;
    elsif v_subject is null then
      select e.user_id into v_subject from private.external_identities e
       where e.provider = 'google' and e.subject = v_item ->> 'google_subject';
    end if;
    v_subjects[v_at] := v_subject;
  end loop;

  -- What was given up for lost is corrected, which takes the pool, and the pool comes before the balances.
  if v_has_late then
    perform from public.budgets where subject_kind = 'user' for update;
  end if;
  select coalesce(bool_or(l.has_lost), false), array_agg(l.subject_id), array_agg(l.balance)
    into v_has_lost, v_owners, v_balances
    from (
      select b.subject_id, b as balance, exists (
               select from public.reservations r
                where r.subject_id = b.subject_id and r.status = 'held' and r.expires_at <= now()
             ) as has_lost
        from public.balances b
       where b.subject_id = any (v_subjects)
       order by b.subject_id
         for update
    ) l;
  if v_has_lost then
    -- A server that comes back late knows better what its stream came to than the hold does.
    perform private.settle_lost_generations(
      v_subjects, now(), array(select (i ->> 'hold')::uuid from jsonb_array_elements(p_items) i)
    );
    v_balances := array(select b from public.balances b where b.subject_id = any (v_owners) order by b.subject_id);
  end if;

  for v_at in 1 .. v_count loop
    v_item := p_items -> v_at - 1;
    v_op := v_item ->> 'op';
    v_hold := v_item ->> 'hold';
    v_position := array_position(v_owners, v_subjects[v_at]);
    v_balance := v_balances[v_position];
    v_amount := 0;
    if v_op = 'reserve' then
      v_reserved := private.reserve_generation(v_subjects[v_at], v_balance, v_item);
      v_answers[v_at] := v_reserved.answer;
      if (v_reserved.hold).id is not null then
        v_amount := (v_reserved.hold).amount;
        v_new_holds := v_new_holds || v_reserved.hold;
        v_new_generations := v_new_generations || v_reserved.generation;
      elsif v_reserved.answer ->> 'code' = 'INSUFFICIENT_TOKENS' then
        v_refused := v_refused || v_subjects[v_at];
        v_refused_price := v_refused_price || (v_reserved.answer ->> 'requested')::bigint;
      end if;
    else
      -- Another item about a hold that was just noted or closed has to find it so.
      if v_hold = any (v_changed_ids) then
        perform private.write_noted_generations(v_noted_generations);
        perform private.write_closed_generations(v_closed_generations, v_closed_holds, v_events);
        v_changed_ids := null;
        v_noted_generations := null;
        v_closed_generations := null;
        v_closed_holds := null;
        v_events := null;
      end if;
      select g as generation, r as hold into v_running
        from public.generations g join public.reservations r on r.id = g.id
       where g.id = v_hold;
      if not found then
        v_answers[v_at] := '{"code": "RESERVATION_NOT_FOUND"}';
      elsif v_op = 'extend' then
        v_noted := private.note_generation(v_balance, v_running.generation, v_running.hold, v_item);
        v_answers[v_at] := v_noted.answer;
        if (v_noted.generation).id is not null then
          v_amount := v_noted.amount;
          v_changed_ids := v_changed_ids || v_hold;
          v_noted_generations := v_noted_generations || v_noted.generation;
        end if;
      elsif v_op = 'settle' then
        v_settled := private.settle_generation(v_balance, v_running.generation, v_running.hold, v_item, v_has_late);
        v_answers[v_at] := v_settled.answer;
        if (v_settled.hold).id is not null then
          v_changed_ids := v_changed_ids || v_hold;
          v_closed_generations := v_closed_generations || v_settled.generation;
          v_closed_holds := v_closed_holds || v_settled.hold;
        end if;
        if (v_settled.event).id is not null then
          v_events := v_events || v_settled.event;
        end if;
        v_balance := v_settled.balance;
        v_has_changed := true;
      else
        raise exception 'unknown metering operation %', v_op using errcode = '22023';
      end if;
    end if;

    if v_amount > 0 then
      v_balance.reserved := v_balance.reserved + v_amount;
      v_balance.remaining := v_balance.remaining - v_amount;
      v_has_changed := true;
      -- What is corrected is corrected where it is written.
      if v_has_late then
        perform private.write_balances(array[v_balance]);
      end if;
    end if;
    if v_position is not null then
      v_balances[v_position] := v_balance;
    end if;
  end loop;

  if v_has_changed then
    perform private.write_balances(v_balances);
  end if;
  if cardinality(v_refused) > 0 then
    -- Only now the balances are what the refused items found.
    perform private.note_refusal(r.subject_id, r.price)
      from unnest(v_refused, v_refused_price) with ordinality as r(subject_id, price, ord) order by r.ord;
  end if;
  if cardinality(v_new_holds) > 0 then
    insert into public.reservations select h.* from unnest(v_new_holds) h;
    insert into public.generations select g.* from unnest(v_new_generations) g;
  end if;
  if cardinality(v_noted_generations) > 0 then
    perform private.write_noted_generations(v_noted_generations);
  end if;
  if cardinality(v_closed_generations) > 0 then
    perform private.write_closed_generations(v_closed_generations, v_closed_holds, v_events);
  end if;
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.meter_chat(jsonb) to service_role;
comment on function public.meter_chat(jsonb) is
  'Takes, extends and settles holds of chat requests in one transaction. Takes an array of {op: reserve, id, session_id | api_key_id or google_subject, hold, source, model, streamed, input_estimate, output_tokens, input_price, output_price, request_price, idempotency_key, request_hash}, {op: extend, hold, output_tokens, input_seen, output_seen, input_floor, output_floor, provider, upstream_id} and {op: settle, hold, input_tokens, output_tokens, provenance, nano_usd, input_floor, output_floor, provider, upstream_id}; returns an array in the same order: {output_tokens, remaining}, {output_tokens}, {tokens_used, remaining}, or {code, …} where the item was refused.';

-- Items are taken per device in the order given, each sees what the ones before it left, and each gets an outcome of its
-- own. Devices are locked in id order, so concurrent calls cannot deadlock. What they did is written at the end, for all
-- items at once.
create or replace function public.meter_devices(p_items jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = 'force_generic_plan' set enable_seqscan = off
as $$
-- Definer: the only writer of balances, events, rollups and holds; no API role may write them itself.
declare
  v_item record;
  v_device_id uuid;
  v_refusal jsonb;
  v_balance public.balances;
  v_takes_effect boolean := false;
  v_seen_keys uuid[];
  v_seen_items integer[];
  v_first_key integer;
  v_position integer;
  v_request text[];
  v_hashed_request text[];
  v_request_hash bigint;
  v_named record;
  v_hold public.reservations;
  v_released bigint;
  v_event_id uuid;
  v_answer jsonb;
  v_answers jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_items)]);
  v_events public.usage_events[];
  v_holds public.reservations[];
  v_keys private.device_keys[];
  v_changed integer := 0;
  v_changed_ids uuid[];
  v_changed_used bigint[];
  v_changed_reserved bigint[];
  v_settled uuid[];
  v_settled_by uuid[];
  v_refused uuid[];
  v_refused_price bigint[];
begin
  if p_items @? '$[*] ? (@.op == "debit" || @.reserve == true || @.reserve.type() != "boolean")' then
    perform private.lock_device_balances(p_items);
  end if;

  -- A query after the locks: it sees what those did who had them before.
  for v_item in
    select i.*, d.*,
           (select k from private.device_keys k where k.key = i.key) as earlier,
           case when i.op <> 'balance' then
             i.prompt_count * coalesce(
               (select c.cost from public.model_costs c where c.model = i.model),
               (select c.cost from public.model_costs c where c.model = '*'), 1
             )::bigint
           end as cost
      from (
        select j.ord::integer as ord, j.op, j.device_id, j.token_version, lower(btrim(j.model)) as model, j.prompt_count,
               coalesce(j.reserve, false) as reserve, private.device_key(j.device_id, j.key) as key, j.reservation_id
          from rows from (
            jsonb_to_recordset(p_items) as (
              op text, device_id uuid, token_version integer, model text, prompt_count integer,
              reserve boolean, key text, reservation_id uuid
            )
          ) with ordinality as j(op, device_id, token_version, model, prompt_count, reserve, key, reservation_id, ord)
         order by device_id, ord
      ) i
      -- With its limit it is one look-up by key for each item, however many the planner reckons with.
      left join lateral (
        select s.id, s.token_version as current_version, s.user_id, s.blocked, b as balance,
               b.period < (select max(p.number) from public.periods p) or b.reserved > 0 and exists (
                 select from public.reservations r
                  where r.subject_id = s.id and r.status = 'held' and r.expires_at <= now()
               ) as is_due
          from public.devices s join public.balances b on b.subject_id = s.id
         where s.id = i.device_id
         limit 1
      ) d on true
     order by i.device_id, i.ord
  loop
    if v_device_id is distinct from v_item.device_id then
      v_device_id := v_item.device_id;
      v_balance := v_item.balance;
      v_seen_keys := null;
      v_seen_items := null;
      v_first_key := coalesce(cardinality(v_keys), 0);
      v_refusal := null;
      -- A period has begun, or what expired holds keep is free again: also for those who only ask.
      if v_item.is_due then
        v_balance := private.renew_device_balance(v_device_id);
      end if;
      if v_item.blocked then
        v_refusal := '{"code": "DEVICE_BLOCKED"}';
      elsif v_item.user_id is not null then
        select '{"code": "ACCOUNT_SUSPENDED"}' into v_refusal
          from public.users u where u.id = v_item.user_id and u.suspended_at is not null;
      end if;
    end if;

    v_answer := v_refusal;
    if v_item.current_version is distinct from v_item.token_version or v_item.id is null then
      v_answer := '{"code": "INVALID_TOKEN"}';
    end if;

    -- A key seen before, in an earlier call or earlier in this one, repeats its answer.
    if v_answer is null and v_item.key is not null then
      v_request := array[v_item.op, v_item.reserve, v_item.model, v_item.prompt_count, v_item.reservation_id]::text[];
      -- Most requests of a call are alike.
      if v_request is distinct from v_hashed_request then
        v_hashed_request := v_request;
        v_request_hash := private.request_hash(
          jsonb_build_array(v_item.op, v_item.reserve, v_item.model, v_item.prompt_count, v_item.reservation_id)
        );
      end if;
      v_position := array_position(v_seen_keys, v_item.key);
      if v_position is not null then
        v_answer := case
          when v_keys[v_first_key + v_position].request_hash = v_request_hash then v_answers[v_seen_items[v_position]]
          else '{"code": "IDEMPOTENCY_MISMATCH"}'::jsonb
        end;
      elsif (v_item.earlier).key is not null then
        v_answer := private.repeated_answer(v_device_id, v_item.earlier, v_request_hash);
      end if;
    end if;

    if v_answer is not null then
      null;
    elsif v_item.op = 'balance' then
      v_answer := jsonb_build_object(
        'allocated', v_balance.allocated, 'used', v_balance.used, 'reserved', v_balance.reserved,
        'remaining', v_balance.remaining
      );
    elsif v_item.op = 'check' and v_item.reserve and v_balance.remaining >= v_item.cost then
      v_hold := row(
        gen_random_uuid(), v_device_id, v_item.cost, 'held', v_item.model, v_item.prompt_count, null,
        now() + interval '10 minutes', now(), null
      )::public.reservations;
      v_holds := v_holds || v_hold;
      v_balance.reserved := v_balance.reserved + v_item.cost;
      v_balance.remaining := v_balance.remaining - v_item.cost;
      v_answer := jsonb_build_object(
        'can_use', true, 'tokens_needed', v_item.cost, 'remaining', v_balance.remaining,
        'reservation_id', v_hold.id, 'expires_at', v_hold.expires_at
      );
      v_takes_effect := true;
    elsif v_item.op = 'check' then
      v_answer := jsonb_build_object(
        'can_use', v_balance.remaining >= v_item.cost, 'tokens_needed', v_item.cost, 'remaining', v_balance.remaining
      );
    elsif v_item.op = 'debit' then
      v_hold := null;
      v_released := 0;
      if v_item.reservation_id is not null then
        v_named := private.find_device_hold(v_device_id, v_item.reservation_id, v_settled);
        v_answer := v_named.refusal;
        v_hold := v_named.hold;
        v_released := coalesce(v_hold.amount, 0);
      end if;
      if v_answer is null and v_balance.remaining + v_released < v_item.cost then
        v_refused := v_refused || v_device_id;
        v_refused_price := v_refused_price || v_item.cost / v_item.prompt_count;
        v_answer := jsonb_build_object(
          'code', 'INSUFFICIENT_TOKENS', 'requested', v_item.cost, 'remaining', v_balance.remaining + v_released
        );
      end if;
      if v_answer is null then
        v_event_id := case when v_item.key is null then gen_random_uuid() else private.keyed_event_id(v_item.key, now()) end;
        v_events := v_events || row(
          v_event_id, v_device_id, v_item.user_id, v_device_id, 'device', 'unknown', v_item.model, v_item.prompt_count,
          0, 0, 0, v_item.cost, 'client_reported', v_balance.period, null, now(), now(), null
        )::public.usage_events;
        if v_hold.id is not null then
          v_settled := v_settled || v_hold.id;
          v_settled_by := v_settled_by || v_event_id;
        end if;
        v_balance.used := v_balance.used + v_item.cost;
        v_balance.reserved := v_balance.reserved - v_released;
        v_balance.remaining := v_balance.remaining + v_released - v_item.cost;
        v_answer := jsonb_build_object(
          'event_id', v_event_id, 'tokens_used', v_item.cost, 'remaining', v_balance.remaining
        );
        v_takes_effect := true;
      end if;
    else
      raise exception 'unknown metering operation %', v_item.op using errcode = '22023';
    end if;
    v_answers[v_item.ord] := v_answer;

    if v_takes_effect then
      v_takes_effect := false;
      if v_changed_ids[v_changed] is distinct from v_device_id then
        v_changed := v_changed + 1;
        v_changed_ids[v_changed] := v_device_id;
      end if;
      v_changed_used[v_changed] := v_balance.used;
      v_changed_reserved[v_changed] := v_balance.reserved;
      if v_item.key is not null then
        v_keys := v_keys || row(
          v_item.key, v_request_hash, now(),
          case when v_item.op = 'debit' then v_balance.remaining end, case when v_item.op <> 'debit' then v_answer end
        )::private.device_keys;
        v_seen_keys := v_seen_keys || v_item.key;
        v_seen_items := v_seen_items || v_item.ord;
      end if;
    end if;
  end loop;

  if v_changed > 0 then
    update public.balances b set used = c.used, reserved = c.reserved, updated_at = now()
      from unnest(v_changed_ids, v_changed_used, v_changed_reserved) as c(subject_id, used, reserved)
     where b.subject_id = c.subject_id;
  end if;
  if cardinality(v_refused) > 0 then
    -- Only now the balances are what the refused items found.
    perform private.note_refusal(r.subject_id, r.price)
      from unnest(v_refused, v_refused_price) with ordinality as r(subject_id, price, ord) order by r.ord;
  end if;
  if cardinality(v_keys) > 0 then
    insert into private.device_keys select k.* from unnest(v_keys) k;
  end if;
  if cardinality(v_holds) > 0 then
    insert into public.reservations select h.* from unnest(v_holds) h;
  end if;
  if cardinality(v_settled) > 0 then
    update public.reservations r
       set status = 'settled', closed_at = now(), usage_event_id = s.event_id
      from unnest(v_settled, v_settled_by) as s(id, event_id)
     where r.id = s.id;
  end if;
  if cardinality(v_events) > 0 then
    perform private.record_usage_events(v_events);
  end if;
  return to_jsonb(v_answers);
end
$$;
grant execute on function public.meter_devices(jsonb) to service_role;
comment on function public.meter_devices(jsonb) is
  'Makes balance reads, checks, holds and debits of devices in one transaction. Takes an array of {op, device_id, token_version, model, prompt_count, reserve, key, reservation_id}, returns an array of outcomes in the same order: the result, or {code, …} where the item was refused.';

create or replace function public.pause_bulk_change(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes bulk changes and sessions, which no API role may.
begin
  perform private.require_admin(p_actor);
  -- Waits for the chunk that is being done: after the answer nothing changes any more.
  perform from private.bulk_changes c where c.id = p_id for update;
  perform private.end_bulk_run(p_id);
  return private.bulk_change_json(p_id);
end
$$;
grant execute on function public.pause_bulk_change(jsonb, uuid) to service_role;
comment on function public.pause_bulk_change(jsonb, uuid) is
  'Has the server leave what is left of a bulk change until somebody continues it. Returns what bulk_change_json returns; raises BULK_CHANGE_NOT_FOUND.';

create or replace function public.ranked_usage(
  p_subjects uuid[], p_names text[], p_starts timestamptz[], p_from timestamptz, p_to timestamptz, p_filter jsonb default '{}',
  p_groups integer default 10000
)
returns table (
  period integer, rank bigint, is_rest boolean, provider text, model text, source text, device uuid, "user" uuid,
  events numeric, prompts numeric, input_tokens numeric, output_tokens numeric, total_tokens numeric, cost numeric,
  nano_usd numeric
)
language plpgsql stable set search_path = '' set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_provider constant boolean := 'provider' = any (p_names);
  v_model constant boolean := 'model' = any (p_names);
  v_source constant boolean := 'source' = any (p_names);
  v_device constant boolean := 'device' = any (p_names);
  v_user constant boolean := 'user' = any (p_names);
  v_only_provider constant text := p_filter ->> 'provider';
  v_only_model constant text := lower(btrim(p_filter ->> 'model'));
  v_only_source constant text := p_filter ->> 'source';
  v_nobody constant uuid := '00000000-0000-0000-0000-000000000000';
begin
  -- Everybody's sums have no row-level security, and nobody but an admin's function may read them.
  if p_subjects is null and has_table_privilege('public.usage_totals', 'select') then
    return query
      select u.* from private.everybodys_usage(p_names, p_starts, p_from, p_to, p_filter, p_groups) u;
    return;
  end if;
  p_subjects := coalesce(
    p_subjects,
    array[public.current_user_id(), public.current_device_id()]
      || array(select d.id from public.devices d where d.user_id = public.current_user_id())
  );
  -- Few rows: one statement for whatever is asked, as planning one for each question takes longer than answering it.
  return query
    with named as materialized (
      select s.period, s.provider, s.model, s.source, case when v_device then d.id end as device,
             case when v_user then coalesce(d.user_id, case when d.id is null then s.subject_id end) end as "user",
             s.events, s.prompts, s.input_tokens, s.output_tokens, s.total_tokens, s.cost, s.nano_usd
        from (
          select coalesce(width_bucket(r.bucket, p_starts), 0) as period, case when v_provider then r.provider end as provider,
                 case when v_model then r.model end as model, case when v_source then r.source end as source,
                 case when v_device or v_user then r.subject_id end as subject_id,
                 sum(r.events) as events, sum(r.prompts) as prompts, sum(r.input_tokens) as input_tokens,
                 sum(r.output_tokens) as output_tokens, sum(r.total_tokens) as total_tokens, sum(r.cost) as cost,
                 sum(r.nano_usd) as nano_usd
            from (
              select * from public.usage_rollups h
               where h.subject_id = any (p_subjects) and h.bucket >= p_from and h.bucket < p_to
              union all
              select * from public.archived_rollups(p_subjects, p_from, p_to)
            ) r
           where r.subject_id = any (p_subjects) and r.bucket >= p_from and r.bucket < p_to
             and (v_only_provider is null or r.provider = v_only_provider)
             and (v_only_model is null or r.model = v_only_model)
             and (v_only_source is null or r.source = v_only_source)
           group by 1, 2, 3, 4, 5
        ) s
        left join lateral (select v.id, v.user_id from public.devices v where v.id = s.subject_id offset 0) d on true
    ),
    groups as materialized (
      select n.provider, n.model, n.source, n.device, n."user", count(*) over () > p_groups as are_more,
             row_number() over (
               order by sum(n.events) desc, n.provider nulls first, n.model nulls first, n.source nulls first,
                        n.device nulls first, n."user" nulls first
             ) as rank
        from named n group by 1, 2, 3, 4, 5
    ),
    cells as (
      select n.period, least(g.rank, p_groups) as rank,
             sum(n.events) as events, sum(n.prompts) as prompts, sum(n.input_tokens) as input_tokens,
             sum(n.output_tokens) as output_tokens, sum(n.total_tokens) as total_tokens, sum(n.cost) as cost,
             sum(n.nano_usd) as nano_usd
        from named n
        join groups g
          on coalesce(g.provider, '') = coalesce(n.provider, '') and coalesce(g.model, '') = coalesce(n.model, '')
         and coalesce(g.source, '') = coalesce(n.source, '') and coalesce(g.device, v_nobody) = coalesce(n.device, v_nobody)
         and coalesce(g."user", v_nobody) = coalesce(n."user", v_nobody)
       group by 1, 2
    )
    select c.period, c.rank, g.are_more and g.rank = p_groups, g.provider, g.model, g.source, g.device, g."user", c.events,
           c.prompts, c.input_tokens, c.output_tokens, c.total_tokens, c.cost, c.nano_usd
      from cells c join groups g on g.rank = c.rank;
end
$$;
grant execute on function public.ranked_usage(uuid[], text[], timestamptz[], timestamptz, timestamptz, jsonb, integer) to authenticated;
comment on function public.ranked_usage(uuid[], text[], timestamptz[], timestamptz, timestamptz, jsonb, integer) is
  'Returns what subjects, or everybody for whoever may read it, used in a range, filtered by any of provider, model, source: by the named ones of provider, model, source, device, user (the others are null), ranked by events, where of more than so many groups the last ones are one, is_rest, whose names say nothing; and by period, the number of the last of its starts that a use does not come before, 0 where there are none.';

-- The server acts in a session of its own: it goes on when the admin signs out, and ends with what ends their other sessions.
create or replace function public.run_bulk_change(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes bulk changes and sessions, which no API role may.
declare
  v_session jsonb := jsonb_build_object(
    'lifetime_seconds', 86400, 'user_agent', 'bulk-change', 'address', p_actor ->> 'address'
  );
  v_run_as jsonb;
begin
  perform private.require_admin(p_actor);
  select c.run_as into v_run_as from private.bulk_changes c where c.id = p_id for update;
  if private.bulk_change_json(p_id) ->> 'state' in ('done', 'stopped')
     or exists (
       select from private.admin_sessions s
        where s.id = (v_run_as ->> 'session_id')::uuid and s.expires_at > now()
     ) then
    return private.bulk_change_json(p_id);
  end if;
  perform private.start_bulk_change(p_actor, p_id);
  v_session := private.open_admin_session(
    (p_actor ->> 'id')::uuid, v_session,
    (select s.second_factor from private.admin_sessions s where s.id = (p_actor ->> 'session_id')::uuid)
  );
  update private.bulk_changes c
     set run_as = p_actor || jsonb_build_object('session_id', v_session -> 'session_id')
   where c.id = p_id;
  return private.bulk_change_json(p_id);
end
$$;
grant execute on function public.run_bulk_change(jsonb, uuid) to service_role;
comment on function public.run_bulk_change(jsonb, uuid) is
  'Has the server do all that is left of a bulk change in the name of an admin, by carry_on_bulk_change; nothing where it does so already or none is left. Returns what bulk_change_json returns; raises BULK_CHANGE_NOT_FOUND.';

create or replace function public.stop_bulk_change(p_actor jsonb, p_id uuid)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes bulk changes, which no API role may.
declare
  v_stopped jsonb;
begin
  perform private.require_admin(p_actor);
  -- Waits for the chunk that is being done: after the answer nothing changes any more.
  perform from private.bulk_changes c where c.id = p_id for update;
  v_stopped := private.bulk_change_json(p_id);
  if v_stopped ->> 'state' in ('done', 'stopped') then
    return v_stopped;
  end if;
  perform private.end_bulk_run(p_id);
  update private.bulk_changes c set stopped_at = now() where c.id = p_id;
  if v_stopped ->> 'state' = 'running' then
    perform private.audit_admin(
      p_actor, 'stop_bulk_change', 'bulk_change:' || p_id, null,
      jsonb_build_object('changed', v_stopped -> 'changed', 'left', v_stopped -> 'left')
    );
  end if;
  return private.bulk_change_json(p_id);
end
$$;
grant execute on function public.stop_bulk_change(jsonb, uuid) to service_role;
comment on function public.stop_bulk_change(jsonb, uuid) is
  'Gives up what is left of a bulk change; what was done stays. Returns what bulk_change_json returns; raises BULK_CHANGE_NOT_FOUND.';

create or replace function public.summarize_all_usage(
  p_actor jsonb, p_from text, p_to text, p_time_zone text, p_group_by text[], p_user_id uuid default null,
  p_filter jsonb default '{}', p_top integer default null
)
returns json
language plpgsql stable security definer set search_path = ''
as $$
-- Definer: an admin may ask about everybody, which no API role may.
begin
  perform private.require_admin(p_actor, 'viewer');
  return public.summarize_usage(p_from, p_to, p_time_zone, p_group_by, private.account_subjects(p_user_id), p_filter, p_top);
end
$$;
grant execute on function public.summarize_all_usage(jsonb, text, text, text, text[], uuid, jsonb, integer) to service_role;
comment on function public.summarize_all_usage(jsonb, text, text, text, text[], uuid, jsonb, integer) is
  'Runs summarize_usage for an admin: of everybody, or of one account with its devices.';

-- In json, not jsonb: it is written once, as text, and read by nobody here.
create or replace function public.summarize_usage(
  p_from text, p_to text, p_time_zone text, p_group_by text[], p_subjects uuid[] default public.own_subjects(),
  p_filter jsonb default '{}', p_top integer default null
)
returns json
language plpgsql stable set search_path = '' set timezone = 'UTC'
  -- The planner takes every quarter hour for a group of its own, and would sort them all on disk, to group and to join them.
  set work_mem = '32MB' set enable_mergejoin = off set jit = off set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_range record;
  v_unit constant text := case
    when 'day' = any (p_group_by) then 'day' when 'week' = any (p_group_by) then 'week'
    when 'month' = any (p_group_by) then 'month'
  end;
  v_provider constant boolean := 'provider' = any (p_group_by);
  v_model constant boolean := 'model' = any (p_group_by);
  v_source constant boolean := 'source' = any (p_group_by);
  v_device constant boolean := 'device' = any (p_group_by);
  v_user constant boolean := 'user' = any (p_group_by);
  v_is_named constant boolean := v_provider or v_model or v_source or v_device or v_user;
  v_periods date[];
  v_starts timestamptz[];
  -- How many groups make 10,000 rows, or as many as are asked for.
  v_groups integer;
  v_subjects uuid[] := case when p_filter ? 'device' then array[(p_filter ->> 'device')::uuid] else p_subjects end;
  v_totals text;
  v_series text;
begin
  if p_filter ? 'device' and (p_filter ->> 'device')::uuid = any (p_subjects) is false then
    v_subjects := '{}';
  end if;
  v_range := public.usage_range(p_from, p_to, p_time_zone);
  if v_unit is not null then
    select array_agg(p.day::date order by p.day), array_agg(
             -- As day_start does, without calling it for each of so many days.
             case
               when (m.start - interval '2 hours') at time zone p_time_zone = p.day - interval '2 hours' then m.start
               else public.day_start(p.day::date, p_time_zone)
             end order by p.day
           )
      into v_periods, v_starts
      from generate_series(
        date_trunc(v_unit, v_range.range_from at time zone p_time_zone),
        (v_range.range_to - interval '1 microsecond') at time zone p_time_zone,
        ('1 ' || v_unit)::interval
      ) as p(day)
     cross join lateral (select p.day at time zone p_time_zone as start) m;
  end if;
  v_groups := least(10000 / coalesce(cardinality(v_periods), 1), p_top);

  with cells as materialized (
    select u.*
      from public.ranked_usage(
        v_subjects, array(select g from unnest(p_group_by) g where g is distinct from v_unit), v_starts,
        v_range.range_from, v_range.range_to, p_filter, v_groups
      ) u
  ),
  groups as (
    select f.rank, f.is_rest,
           row_number() over (
             order by f.is_rest, f.provider nulls first, f.model nulls first, f.source nulls first, f.device nulls first,
                      f."user" nulls first
           ) as position,
           concat_ws(
             ',',
             case when v_provider then '"provider":' || to_json(case when f.is_rest then 'other' else f.provider end) end,
             case when v_model then '"model":' || to_json(case when f.is_rest then 'other' else f.model end) end,
             case when v_source then '"source":' || to_json(case when f.is_rest then 'other' else f.source end) end,
             case when v_device then '"device":' || coalesce(to_json(case when not f.is_rest then f.device end), 'null') end,
             case when v_user then '"user":' || coalesce(to_json(case when not f.is_rest then f."user" end), 'null') end,
             case when f.is_rest then '"other":true' end
           ) as names
      from (select distinct on (c.rank) c.* from cells c order by c.rank) f
    union all
    -- Without names to group by, days without use are days, too.
    select 1, false, 1, '' where not v_is_named and not exists (select from cells)
  ),
  periods as (
    select coalesce(p.period, 0) as period, case when v_unit is not null then format('"%s":"%s"', v_unit, p.day) end as name
      from (select 1) one left join unnest(v_periods) with ordinality as p(day, period) on true
  ),
  -- Each piece of text is made once, however many rows it is in.
  written as (
    select c.period, c.rank,
           format(
             '"events":%s,"prompts":%s,"input_tokens":%s,"output_tokens":%s,"total_tokens":%s,"cost":%s,"nano_usd":%s',
             c.events, c.prompts, c.input_tokens, c.output_tokens, c.total_tokens, c.cost, c.nano_usd
           ) as sums
      from cells c
  ),
  totals as (
    select json_build_object(
      'events', coalesce(sum(c.events), 0), 'prompts', coalesce(sum(c.prompts), 0),
      'input_tokens', coalesce(sum(c.input_tokens), 0), 'output_tokens', coalesce(sum(c.output_tokens), 0),
      'total_tokens', coalesce(sum(c.total_tokens), 0), 'cost', coalesce(sum(c.cost), 0),
      'nano_usd', coalesce(sum(c.nano_usd), 0)
    ) as item from cells c
  ),
  series as (
    select string_agg(
             '{' || concat_ws(
               ',', p.name, nullif(g.names, ''),
               coalesce(
                 w.sums,
                 '"events":0,"prompts":0,"input_tokens":0,"output_tokens":0,"total_tokens":0,"cost":0,"nano_usd":0'
               )
             ) || '}',
             ',' order by p.period, g.position
           ) as items
      from periods p
     cross join groups g
      left join written w on w.period = p.period and w.rank = g.rank
     where v_unit is not null or v_is_named
  )
  select t.item, s.items into v_totals, v_series from totals t cross join series s;
  return format(
    '{"totals":%s,"series":[%s],"from":%s,"to":%s,"time_zone":%s}',
    v_totals, v_series, to_json(v_range.range_from), to_json(v_range.range_to), to_json(p_time_zone)
  );
end
$$;
grant execute on function public.summarize_usage(text, text, text, text[], uuid[], jsonb, integer) to authenticated;
comment on function public.summarize_usage(text, text, text, text[], uuid[], jsonb, integer) is
  'Returns usage of the caller and their devices in a range, from the rollups: {from, to, time_zone, totals, series}, grouped by any of day, week, month (one of them), provider, model, source, device, user, and filtered by any of provider, model, source, device; periods without use are there with zeros. Of more than 10,000 rows, or more groups than p_top, those used least are one, marked by other. Raises RANGE_NOT_VALID.';

create or replace function public.verify_ledger(p_full boolean default false)
returns table (name text, ok boolean, checked bigint, discrepancies jsonb)
language plpgsql stable security definer set search_path = '' set statement_timeout = '15min'
  -- Compiling the many expressions costs more than it saves.
  set jit = off
as $$
-- Definer: reads every subject's rows, which no API role may. Stable: one snapshot for all checks.
begin
  return query
    select p.title, p.discrepancies = '[]', p.checked, p.discrepancies
      from (
        select * from private.prove_balances(not p_full)
        union all
        select * from private.prove_usage(not p_full)
        union all
        select * from private.prove_generations(not p_full)
        union all
        select * from private.prove_entries()
        union all
        select * from private.prove_seals(p_full)
        union all
        select * from private.prove_days(p_full)
        union all
        select * from private.prove_subjects(p_full)
      ) p
     order by p.place;
end
$$;
grant execute on function public.verify_ledger(boolean) to service_role;
comment on function public.verify_ledger(boolean) is
  'Recomputes every balance, hold, rollup, counter, generation and paid grant from the rows behind it; of months that are sealed only what changed since, unless p_full. One row per check; ok is false where discrepancies lists differences.';

create or replace trigger by_hand
  before insert or update or delete or truncate on private.daily_subject_usage
  for each statement execute function private.refuse_by_hand('maintain() sums days up, and verify_ledger(true) proves their sums');
alter table private.daily_subject_usage enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.monthly_subject_usage
  for each statement execute function private.refuse_by_hand('maintain() sums days up, and verify_ledger(true) proves their sums');
alter table private.monthly_subject_usage enable always trigger by_hand;

create or replace trigger mark_changed_generations
  after update of id, subject_id, input_tokens, output_tokens, uncollected, input_weight, output_weight on public.generations
  for each row when (old.provenance is not null) execute function private.mark_changed_generation();

create or replace trigger mark_changed_reservations
  after update of id, subject_id, status, closed_at on public.reservations
  for each row when (old.closed_at is not null) execute function private.mark_changed_reservation();

reset check_function_bodies;
reset search_path;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261128102608', '8ec9670124fb0434dff2d0d46849b7c010c4c5931252232972694dd050a7bcd9');
