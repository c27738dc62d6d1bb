-- The long part, packing and proving, is done while everybody goes on. What they change meanwhile is noted in changed_usage, as
-- in every month that is over, and is packed again once they are locked out, which takes a moment. The seals are not renewed
-- meanwhile: that would take the notes away.
create or replace function public.archive_month(p_keep_months integer default null)
returns jsonb
language plpgsql volatile security definer set search_path = '' set statement_timeout = '60min' set lock_timeout = '5s' set jit = off
as $$
-- Definer: moves everybody's events and rollups, which no API role may.
declare
  v_month timestamptz;
  v_until timestamptz;
  v_label text;
  v_partition text;
  v_packed uuid[];
  v_again uuid[];
  v_events bigint;
  v_rollups bigint;
  v_before jsonb;
  v_is_busy boolean;
  v_is_all boolean;
begin
  -- Left alone where nobody asks for it, unless there are other machines for it.
  if p_keep_months is null and not exists (select from pg_catalog.pg_extension where extname = 'citus') then
    return jsonb_build_object('month', null, 'archived', false);
  end if;
  if not pg_try_advisory_xact_lock(hashtext('public.archive_month'))
     or not pg_try_advisory_xact_lock(hashtext('public.keep_seals')) then
    return jsonb_build_object('month', null, 'archived', false, 'elsewhere', true);
  end if;
  select m.month, m.until into v_month, v_until
    from private.usage_months() m
    join private.sealed_months s on s.month = m.month
   where m.is_sealed and s.fault is null
     and m.until <= date_trunc('month', now(), 'UTC') - make_interval(months => greatest(coalesce(p_keep_months, 1), 0))
     -- Keys of debits are told from their events for two days.
     and m.until <= now() - interval '3 days'
     and not exists (select from private.changed_usage c where c.month = m.month)
     and (
       exists (select from public.usage_rollups r where r.bucket >= m.month and r.bucket < m.until)
       or exists (select from public.usage_events e where e.occurred_at >= m.month and e.occurred_at < m.until)
     )
   order by m.month limit 1;
  if v_month is null then
    return jsonb_build_object('month', null, 'archived', false);
  end if;
  v_label := to_char(v_month at time zone 'UTC', 'YYYY-MM');
  select p.name into v_partition from private.usage_partitions() p where p.lower_bound = v_month;
  -- Who reads for long, such as a backup, would keep it from being emptied: then it is not even begun.
  select exists (
    select from pg_catalog.pg_locks l
     where l.relation = to_regclass('private.' || v_partition) and l.pid <> pg_backend_pid()
       and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
  ) into v_is_busy;
  if v_is_busy then
    return jsonb_build_object('month', v_label, 'archived', false);
  end if;

  -- Of a month that is archived already, only what was thawed is packed.
  if exists (select from private.archived_months a where a.month = v_month) then
    select array_agg(distinct x.subject_id) into v_packed
      from (
        select e.subject_id from public.usage_events e where e.occurred_at >= v_month and e.occurred_at < v_until
        union all
        select r.subject_id from public.usage_rollups r where r.bucket >= v_month and r.bucket < v_until
      ) x;
  end if;
  v_events := private.pack_events(v_month, v_until, v_packed);
  v_rollups := private.pack_rollups(v_month, v_until, v_packed);
  if private.prove_archive(v_month, v_until, v_packed) > 0 then
    raise exception 'the archive of % is not what was sealed', v_label;
  end if;

  perform pg_advisory_xact_lock(hashtext('private.archive'));
  if v_partition is not null then
    execute format('lock table private.%I in access exclusive mode', v_partition);
  end if;
  -- Who has changed or has come meanwhile. Whoever has rows here has none in the archive but those written above.
  select array_agg(distinct c.subject_id) into v_again
    from private.changed_usage c
   where c.month = v_month
     and (
       v_packed is null or c.subject_id = any (v_packed)
       or exists (
         select from public.usage_rollups r where r.subject_id = c.subject_id and r.bucket >= v_month and r.bucket < v_until
       )
       or exists (
         select from public.usage_events e
          where e.subject_id = c.subject_id and e.occurred_at >= v_month and e.occurred_at < v_until
       )
     );
  if v_again is not null then
    with gone as (
      delete from private.archived_events a
       where a.subject_id = any (v_again) and a.since >= v_month and a.since < v_until returning a.events
    )
    select v_events - coalesce(sum(g.events), 0) into v_events from gone g;
    with gone as (
      delete from private.archived_rollups a where a.subject_id = any (v_again) and a.month = v_month returning a.rollups
    )
    select v_rollups - coalesce(sum(g.rollups), 0) into v_rollups from gone g;
    v_before := private.hash_subjects(v_month, v_until, v_again);
    v_events := v_events + private.pack_events(v_month, v_until, v_again);
    v_rollups := v_rollups + private.pack_rollups(v_month, v_until, v_again);
  end if;

  if v_events <> (select count(*) from public.usage_events e where e.occurred_at >= v_month and e.occurred_at < v_until) then
    raise exception 'the archive of % has another number of events', v_label;
  end if;
  if v_partition is not null then
    execute format('truncate private.%I', v_partition);
  end if;
  perform set_config('tokenledger.archiving', 'on', true);
  with gone as (
    delete from public.usage_rollups r where r.bucket >= v_month and r.bucket < v_until returning 1
  )
  select v_rollups = count(*) into v_is_all from gone g;
  perform set_config('tokenledger.archiving', '', true);
  if not v_is_all then
    raise exception 'the archive of % has another number of rollups', v_label;
  end if;
  -- From here on the month is read in the archive.
  insert into private.archived_months as a (month, events, rollups) values (v_month, v_events, v_rollups)
  on conflict (month) do update set archived_at = now(), events = a.events + excluded.events, rollups = a.rollups + excluded.rollups;
  if v_before is distinct from private.hash_subjects(v_month, v_until, v_again) then
    raise exception 'the archive of % is not what was there', v_label;
  end if;
  -- Names follow from the rollups where all of them were told apart.
  delete from private.rollup_names n
   where n.day >= (v_month at time zone 'UTC')::date and n.day < (v_until at time zone 'UTC')::date
     and (n.subject_id, n.day) not in (
       select f.subject_id, f.day from private.rollup_names f
        where f.day >= (v_month at time zone 'UTC')::date and f.day < (v_until at time zone 'UTC')::date
        group by f.subject_id, f.day having count(*) >= private.rollup_name_limit()
     );
  return jsonb_build_object('month', v_label, 'archived', true, 'events', v_events, 'rollups', v_rollups);
exception when lock_not_available then
  return jsonb_build_object('month', v_label, 'archived', false);
end
$$;
grant execute on function public.archive_month(integer) to service_role;
comment on function public.archive_month(integer) is
  'Packs the oldest sealed month that is not among the newest so many that are over, or what was thawed of one, proves it by its seal and takes it out of usage_events and usage_rollups. Returns {month, archived, events, rollups}: no month where there is nothing to do, archived false where somebody is reading it, elsewhere true where another call archives or seals months. Without p_keep_months nothing is done unless Citus is installed.';
