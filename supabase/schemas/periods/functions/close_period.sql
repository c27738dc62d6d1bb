-- The caller has decided that a reset is due; the pool's lock makes it the only one.
create or replace function private.close_period(p_actor text, p_request_id text, p_default_tokens bigint)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_closed integer;
begin
  perform from public.balances b where b.subject_kind = 'device' order by b.subject_id for update;
  update public.periods set closed_at = now(), closed_by = p_actor where closed_at is null
  returning number into strict v_closed;
  insert into public.periods (number, default_tokens) values (v_closed + 1, p_default_tokens);

  -- Holds end with their period; usage that comes in for them is debited from the new one.
  update public.reservations r set status = 'expired', closed_at = now()
    from public.balances b
   where b.subject_id = r.subject_id and b.subject_kind = 'device' and r.status = 'held';
  insert into public.period_balances (period, subject_id, allocated, used)
  select v_closed, b.subject_id, b.allocated, b.used from public.balances b
   where b.subject_kind = 'device' and (b.allocated > 0 or b.used > 0);

  with target as (
    select b.subject_id, b.allocated as before, case when d.deleted_at is null then p_default_tokens else 0 end as after
      from public.balances b join public.devices d on d.id = b.subject_id
  ), entries as (
    insert into public.ledger_entries (subject_id, kind, amount, period, actor, reference)
    select subject_id, 'reset', after - before, v_closed + 1, p_actor, 'period ' || v_closed + 1
      from target where after <> before
  )
  update public.balances b
     set allocated = target.after, used = 0, reserved = 0, period = v_closed + 1, updated_at = now()
    from target where b.subject_id = target.subject_id;

  update public.budgets p
     set allocated = (select coalesce(sum(b.allocated), 0) from public.balances b where b.subject_kind = 'device'),
         updated_at = now()
   where p.subject_kind = 'device';
  perform private.audit(
    p_actor, p_request_id, 'reset_monthly', 'period:' || v_closed,
    jsonb_build_object('period', v_closed), jsonb_build_object('period', v_closed + 1, 'default_tokens', p_default_tokens)
  );
  return v_closed + 1;
end
$$;
comment on function private.close_period(text, text, bigint) is
  'Closes the open period, keeps its history and gives every device the default. The caller holds the devices'' pool. Returns the new period''s number.';
