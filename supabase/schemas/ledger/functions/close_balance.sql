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
  returning remaining into v_unused;
  if v_unused > 0 then
    perform private.record_allocation(p_user_id, -v_unused, 'adjustment', p_actor, 'account deleted');
    update public.budgets set allocated = allocated - v_unused, updated_at = now() where subject_kind = 'user';
  end if;
  return coalesce(v_unused, 0);
end
$$;
comment on function private.close_balance(uuid, text) is
  'Ends the holds of an account and returns its unused tokens to the pool; returns how many. The balance stays for the books.';
