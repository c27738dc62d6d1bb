-- Maintenance: what time does to the books. Safe to run at any moment, by any number of servers at once.

create or replace function public.maintain()
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: expires holds, prunes keys and creates partitions, which no API role may.
declare
  v_subjects uuid[];
  v_pruned bigint;
begin
  -- One server at a time is enough; the others have nothing left to do.
  if not pg_try_advisory_xact_lock(hashtext('public.maintain')) then
    return jsonb_build_object('ran', false, 'expired_subjects', 0, 'pruned_keys', 0);
  end if;

  perform private.ensure_usage_partition(now() + make_interval(months => n)) from generate_series(0, 3) as n;

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
  select count(*) into v_pruned from pruned;

  return jsonb_build_object(
    'ran', true, 'expired_subjects', coalesce(cardinality(v_subjects), 0), 'pruned_keys', v_pruned
  );
end
$$;
revoke all on function public.maintain() from public, anon, authenticated, service_role;
grant execute on function public.maintain() to service_role;
comment on function public.maintain() is
  'Creates partitions ahead, gives back expired holds and prunes idempotency keys older than 48 hours. Answers {ran, expired_subjects, pruned_keys}.';
