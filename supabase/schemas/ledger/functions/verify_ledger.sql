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
           sum(output_tokens) as output_tokens, sum(total_tokens) as total_tokens, sum(cost) as cost,
           coalesce(sum(nano_usd), 0) as nano_usd
      from public.usage_events e
      left join full_days f on f.subject_id = e.subject_id and f.day = (e.occurred_at at time zone 'UTC')::date
      left join private.rollup_names n
        on n.subject_id = f.subject_id and n.day = f.day and n.provider = e.provider and n.model = e.model
     group by 1, 2, 3, 4, 5
  ),
  rollups as (
    select subject_id,
           array[
             r.events, r.prompts, r.input_tokens, r.output_tokens, r.total_tokens, r.cost, r.nano_usd
           ]::numeric[] as stated,
           array[
             e.events, e.prompts, e.input_tokens, e.output_tokens, e.total_tokens, e.cost, e.nano_usd
           ]::numeric[] as proven
      from public.usage_rollups r
      full join events e using (subject_id, bucket, provider, model, source)
     -- Rollups outlive the events retention drops.
     where bucket >= (select min(lower_bound) from private.usage_partitions())
  ),
  totals as (
    select bucket::text as subject, t.stated, r.proven
      from (
        select bucket,
               array[
                 sum(events), sum(prompts), sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cost), sum(nano_usd)
               ] as stated
          from public.usage_totals group by bucket
      ) t
      full join (
        select bucket,
               array[
                 sum(events), sum(prompts), sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cost), sum(nano_usd)
               ] as proven
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
             else private.weighted_tokens(g, g.input_tokens, g.output_tokens) - g.uncollected + coalesce(c.amount, 0)
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
  -- What was granted is what the money that was kept is worth, but for what is owed or was written down.
  paid as (
    select user_id as subject_id,
           array[coalesce(g.granted, 0), coalesce(e.total, 0)]::numeric[] as stated,
           array[coalesce(g.worth, 0) + coalesce(s.tokens_owed, 0), coalesce(g.granted, 0) - coalesce(g.short, 0)]::numeric[] as proven
      from (
        select g.user_id, sum(g.granted_tokens + g.short_tokens - g.taken_tokens) as granted, sum(g.short_tokens) as short,
               sum(g.net_tokens - g.returned_tokens + g.forgiven_tokens) as worth
          from public.subscription_grants g group by g.user_id
      ) g
      full join public.subscriptions s using (user_id)
      full join (
        select subject_id as user_id, sum(amount) as total
          from public.ledger_entries where kind = 'subscription' group by subject_id
      ) e using (user_id)
     where exists (select from public.users u where u.id = user_id)
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
    union all
    select 'tokens granted for payments = worth of the money kept', subject_id::text, to_jsonb(stated), to_jsonb(proven) from paid
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
      (10, 'generations = their events and corrections'),
      (11, 'tokens granted for payments = worth of the money kept')
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
  'Recomputes every balance, hold, rollup, counter, generation and paid grant from the rows behind it. One row per check; ok is false where discrepancies lists differences.';
