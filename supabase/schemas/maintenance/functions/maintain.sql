-- Safe to run at any moment, by any number of servers at once.
create or replace function public.maintain(p_monthly_tokens bigint default null, p_retention_months integer default null)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '15min'
as $$
-- Definer: expires holds, resets periods and prunes keys, which no API role may.
declare
  v_subjects uuid[];
  v_lost integer := 0;
  v_keys bigint;
  v_ended integer;
  v_features integer := 0;
  v_reset boolean := false;
begin
  -- One server at a time is enough; the others have nothing left to do.
  if not pg_try_advisory_xact_lock(hashtext('public.maintain')) then
    return jsonb_build_object('ran', false);
  end if;

  perform private.create_months_ahead();
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
    delete from private.idempotency_keys k
     where date_bin('1 hour', k.created_at, 'epoch') < date_bin('1 hour', now() - interval '48 hours', 'epoch') returning 1
  ), pruned_of_devices as (
    delete from private.device_keys k
     where date_bin('1 hour', k.created_at, 'epoch') < date_bin('1 hour', now() - interval '48 hours', 'epoch') returning 1
  )
  select (select count(*) from pruned) + (select count(*) from pruned_of_devices) into v_keys;
  delete from private.login_attempts where window_ends_at < now();
  delete from private.known_addresses where last_login_at < now() - interval '180 days';
  delete from private.alerts where occurred_at < now() - interval '90 days';
  delete from private.bulk_changes where created_at < now() - interval '30 days';
  v_ended := private.prune_accounts();
  -- What names were told apart is of use as long as there are events.
  delete from private.rollup_names n
   where n.day < (select min(p.lower_bound) at time zone 'UTC' from private.usage_partitions() p);
  perform private.sum_days(31);
  if p_retention_months is not null then
    v_features := private.prune_features(p_retention_months);
  end if;
  return jsonb_build_object(
    'ran', true, 'reset', v_reset, 'expired_subjects', coalesce(cardinality(v_subjects), 0),
    'lost_generations', v_lost, 'pruned_keys', v_keys, 'ended_credentials', v_ended, 'pruned_features', v_features
  );
end
$$;
grant execute on function public.maintain(bigint, integer) to service_role;
comment on function public.maintain(bigint, integer) is
  'Creates partitions ahead, expires holds, settles chat requests whose server went away, sums up days that are over, prunes idempotency keys, log-in counters and credentials that have ended; with p_monthly_tokens resets at the month''s start, with p_retention_months drops older uses of features. Returns what it did, ran false where another one is at it.';
