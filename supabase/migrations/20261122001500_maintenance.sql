-- Maintenance: what time does to the books. Safe to run at any moment, by any number of servers at once.

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
  return v_dropped;
end
$$;
revoke all on function private.drop_old_usage(timestamptz) from public, anon, authenticated, service_role;
comment on function private.drop_old_usage(timestamptz) is 'Drops whole months of usage events before a time; answers how many. Rollups stay.';

create or replace function public.maintain(p_monthly_tokens bigint default null, p_retention_months integer default null)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: expires holds, resets periods, prunes keys and drops partitions, which no API role may.
declare
  v_subjects uuid[];
  v_keys bigint;
  v_dropped integer := 0;
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
  end if;

  with pruned as (
    delete from private.idempotency_keys where created_at < now() - interval '48 hours' returning 1
  )
  select count(*) into v_keys from pruned;
  delete from private.login_attempts where window_ends_at < now();
  delete from private.known_addresses where last_login_at < now() - interval '180 days';

  if p_retention_months is not null then
    v_dropped := private.drop_old_usage(date_trunc('month', now(), 'UTC') - make_interval(months => p_retention_months));
  end if;
  return jsonb_build_object(
    'ran', true, 'reset', v_reset, 'expired_subjects', coalesce(cardinality(v_subjects), 0), 'pruned_keys', v_keys,
    'dropped_months', v_dropped
  );
end
$$;
revoke all on function public.maintain(bigint, integer) from public, anon, authenticated, service_role;
grant execute on function public.maintain(bigint, integer) to service_role;
comment on function public.maintain(bigint, integer) is
  'Creates partitions ahead, expires holds, prunes idempotency keys and log-in counters; with p_monthly_tokens resets at the month''s start, with p_retention_months drops older events. Answers what it did, ran false where another one is at it.';

-- Where pg_cron is there, the database looks after itself even with no server running.
do $$
begin
  if exists (select from pg_catalog.pg_extension where extname = 'pg_cron') then
    execute $cron$select cron.schedule('tokenledger-maintain', '* * * * *', 'select public.maintain()')$cron$;
  end if;
end
$$;
