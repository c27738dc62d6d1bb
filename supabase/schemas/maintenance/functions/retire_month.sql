create or replace function private.retire_month(p_month timestamptz)
returns void
language plpgsql volatile set search_path = '' set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_until timestamptz := (p_month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
begin
  insert into private.retired_usage as u (subject_id, period, cost)
  select e.subject_id, e.period, sum(e.cost)
    from public.usage_events e
   where e.occurred_at >= p_month and e.occurred_at < v_until and e.cost > 0
   group by e.subject_id, e.period
  on conflict (subject_id, period) do update set cost = u.cost + excluded.cost;
  -- Its rollups stay sealed.
  delete from private.sealed_events where month = p_month;
  delete from private.sealed_months where month = p_month and sealed_at is null;
  update private.sealed_months set retired_at = now() where month = p_month;
  perform private.sum_seal(p_month);
end
$$;
comment on function private.retire_month(timestamptz) is
  'Keeps what a month''s events debited, before they are dropped; the month''s seal is one of its rollups from then on.';
