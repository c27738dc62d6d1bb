-- Chat, books: what the rest of the ledger has to know about chat requests.

-- Holds of devices are given back when they expire; those of chat requests are not, as an answer may have been produced.
create or replace function private.expire_reservations(p_subjects uuid[])
returns void
language sql volatile set search_path = ''
as $$
  with expired as (
    update public.reservations r
       set status = 'expired', closed_at = now()
     where r.subject_id = any (p_subjects) and r.status = 'held' and r.expires_at <= now()
       and not exists (select from public.generations g where g.id = r.id)
    returning r.subject_id, r.amount
  )
  update public.balances b
     set reserved = b.reserved - e.amount, updated_at = now()
    from (select subject_id, sum(amount)::bigint as amount from expired group by subject_id) e
   where b.subject_id = e.subject_id
$$;

create or replace function private.close_balance(p_user_id uuid, p_actor text)
returns bigint
language plpgsql volatile set search_path = ''
as $$
declare
  v_unused bigint;
begin
  perform from public.budgets where subject_kind = 'user' for update;
  perform from public.balances b where b.subject_id = p_user_id for update;
  -- What is still running is paid for at its hold: nobody is there any more to wait for its end.
  perform private.settle_lost_generations(array[p_user_id], 'infinity');
  update public.generations g set reconcile_at = null where g.subject_id = p_user_id and g.reconcile_at is not null;
  with released as (
    update public.reservations set status = 'expired', closed_at = now()
     where subject_id = p_user_id and status = 'held' returning amount
  )
  update public.balances
     set reserved = reserved - (select coalesce(sum(amount), 0) from released), updated_at = now()
   where subject_id = p_user_id
  returning allocated - used - reserved into v_unused;
  if v_unused > 0 then
    perform private.change_allocation(p_user_id, -v_unused, 'adjustment', p_actor, 'account deleted');
    update public.budgets set allocated = allocated - v_unused, updated_at = now() where subject_kind = 'user';
  end if;
  return coalesce(v_unused, 0);
end
$$;

create or replace function public.maintain(p_monthly_tokens bigint default null, p_retention_months integer default null)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: expires holds, resets periods, prunes keys and drops partitions, which no API role may.
declare
  v_subjects uuid[];
  v_lost integer := 0;
  v_keys bigint;
  v_ended integer;
  v_dropped integer := 0;
  v_features integer := 0;
  v_reset boolean := false;
begin
  -- One server at a time is enough; the others have nothing left to do.
  if not pg_try_advisory_xact_lock(hashtext('public.maintain')) then
    return jsonb_build_object('ran', false);
  end if;

  perform private.ensure_usage_partition(now() + make_interval(months => n)) from generate_series(0, 3) as n;
  if p_monthly_tokens is not null then
    v_reset := private.reset_when_due(p_monthly_tokens);
  end if;

  select array_agg(distinct r.subject_id) into v_subjects
    from (
      select subject_id from public.reservations
       where status = 'held' and expires_at <= now() order by expires_at limit 1000
    ) r;
  if v_subjects is not null then
    perform from public.balances b where b.subject_id = any (v_subjects) order by b.subject_id for update;
    perform private.expire_reservations(v_subjects);
    v_lost := private.settle_lost_generations(v_subjects, now());
  end if;

  with pruned as (
    delete from private.idempotency_keys where created_at < now() - interval '48 hours' returning 1
  )
  select count(*) into v_keys from pruned;
  delete from private.login_attempts where window_ends_at < now();
  delete from private.known_addresses where last_login_at < now() - interval '180 days';
  v_ended := private.prune_accounts();

  if p_retention_months is not null then
    v_dropped := private.drop_old_usage(private.usage_horizon(p_retention_months));
    v_features := private.prune_features(p_retention_months);
  end if;
  return jsonb_build_object(
    'ran', true, 'reset', v_reset, 'expired_subjects', coalesce(cardinality(v_subjects), 0),
    'lost_generations', v_lost, 'pruned_keys', v_keys,
    'ended_credentials', v_ended, 'dropped_months', v_dropped, 'pruned_features', v_features
  );
end
$$;
comment on function public.maintain(bigint, integer) is
  'Creates partitions ahead, expires holds, settles chat requests whose server went away, prunes idempotency keys, log-in counters and credentials that have ended; with p_monthly_tokens resets at the month''s start, with p_retention_months drops older events. Answers what it did, ran false where another one is at it.';

create or replace function public.my_balance()
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select jsonb_build_object(
             'allocated', coalesce(b.allocated, 0), 'used', coalesce(b.used, 0), 'reserved', coalesce(b.reserved, 0),
             'remaining', coalesce(b.allocated - b.used - b.reserved, 0), 'debt', coalesce(b.debt, 0)
           )
      from (select 1) one left join public.balances b on b.subject_id = v_user_id
  );
end
$$;
comment on function public.my_balance() is 'The caller''s balance: {allocated, used, reserved, remaining, debt}.';

create or replace function public.export_generations(
  p_limit integer, p_after_at timestamptz default '-infinity', p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
returns jsonb
language plpgsql stable security invoker set search_path = '' set timezone = 'UTC'
as $$
declare
  v_user_id uuid := public.require_current_user();
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(page) order by page.created_at, page.id), '[]')
      from (
        select g.id, g.source, g.model, g.provider, g.upstream_id, g.input_estimate, g.provenance,
               g.input_tokens, g.output_tokens, g.uncollected, g.created_at
          from public.generations g
         where g.subject_id = v_user_id and (g.created_at, g.id) > (p_after_at, p_after_id)
         order by g.created_at, g.id
         limit p_limit
      ) page
  );
end
$$;
revoke all on function public.export_generations(integer, timestamptz, uuid) from public, anon, authenticated, service_role;
grant execute on function public.export_generations(integer, timestamptz, uuid) to authenticated;
comment on function public.export_generations(integer, timestamptz, uuid) is
  'The caller''s chat requests, oldest first; after (time, id) to page on.';

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
  events as (
    select subject_id, date_bin('15 minutes', occurred_at, 'epoch') as bucket, provider, model, source,
           count(*) as events, sum(prompt_count) as prompts, sum(input_tokens) as input_tokens,
           sum(output_tokens) as output_tokens, sum(total_tokens) as total_tokens, sum(cost) as cost
      from public.usage_events
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
comment on function public.verify_ledger() is
  'Recomputes every balance, hold, rollup, counter and generation from the rows behind it. One row per check; ok is false where discrepancies lists differences.';
