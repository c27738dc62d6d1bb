-- A reset only begins the next period. Each balance comes into it when it is next touched, or when maintenance gets to it:
-- what it had and used goes into the history first, so that nothing of the new period ever counts for the old one.
create or replace function private.enter_period(p_subjects uuid[])
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_period public.periods;
  v_stale uuid[];
begin
  select p.* into v_period from public.periods p order by p.number desc limit 1;
  select array_agg(s.subject_id) into v_stale
    from (
      select b.subject_id from public.balances b
       where b.subject_id = any (p_subjects) and b.subject_kind = 'device' and b.period < v_period.number
       order by b.subject_id for update
    ) s;
  if v_stale is null then
    return 0;
  end if;

  -- Holds end with their period; usage that comes in for them is debited from the new one.
  update public.reservations r set status = 'expired', closed_at = now()
   where r.subject_id = any (v_stale) and r.status = 'held';
  insert into public.period_balances (period, subject_id, allocated, used)
  select b.period, b.subject_id, b.allocated, b.used from public.balances b
   where b.subject_id = any (v_stale) and (b.allocated > 0 or b.used > 0);
  with target as (
    select b.subject_id, b.allocated as before,
           case when d.deleted_at is null then v_period.default_tokens else 0 end as after
      from public.balances b join public.devices d on d.id = b.subject_id
     where b.subject_id = any (v_stale)
  ), entries as (
    insert into public.ledger_entries (subject_id, kind, amount, period, actor, reference)
    select t.subject_id, 'reset', t.after - t.before, v_period.number, p.closed_by, 'period ' || v_period.number
      from target t join public.periods p on p.number = v_period.number - 1
     where t.after <> t.before
  )
  update public.balances b
     set allocated = t.after, used = 0, reserved = 0, period = v_period.number, updated_at = now()
    from target t where b.subject_id = t.subject_id;
  return cardinality(v_stale);
end
$$;
comment on function private.enter_period(uuid[]) is
  'Brings those of the given devices'' balances that are still in the period before into the one that runs, with their history; returns how many. Locks them.';
