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
