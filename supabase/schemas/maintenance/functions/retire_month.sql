create or replace function private.retire_month(p_month timestamptz)
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_until timestamptz := (p_month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
begin
  insert into private.retired_usage as u (subject_id, period, cost)
  select e.subject_id, e.period, sum(e.cost)
    from (
      select * from public.usage_events l where l.occurred_at >= p_month and l.occurred_at < v_until
      union all
      select * from private.unpack_events(p_month, v_until)
    ) e
   where e.cost > 0
   group by e.subject_id, e.period
  on conflict (subject_id, period) do update set cost = u.cost + excluded.cost;
  delete from private.archived_events where since >= p_month and since < v_until;
  update private.archived_months set events = 0 where month = p_month;
  -- Its rollups stay sealed.
  delete from private.sealed_events where month = p_month;
  delete from private.sealed_months where month = p_month and sealed_at is null;
  update private.sealed_months set retired_at = now() where month = p_month;
  perform private.sum_seal(p_month);
end
$$;
comment on function private.retire_month(timestamptz) is
  'Keeps what a month''s events debited, before they are dropped; the month''s seal is one of its rollups from then on.';
