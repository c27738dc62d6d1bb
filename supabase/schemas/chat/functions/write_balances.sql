create or replace function private.write_balances(p_balances public.balances[])
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
begin
  if cardinality(p_balances) = 1 then
    v_balance := p_balances[1];
    update public.balances b
       set used = v_balance.used, reserved = v_balance.reserved, debt = v_balance.debt, updated_at = now()
     where b.subject_id = v_balance.subject_id;
    return;
  end if;
  update public.balances b set used = c.used, reserved = c.reserved, debt = c.debt, updated_at = now()
    from unnest(p_balances) c
   where b.subject_id = c.subject_id and (b.used, b.reserved, b.debt) is distinct from (c.used, c.reserved, c.debt);
end
$$;
comment on function private.write_balances(public.balances[]) is
  'Writes what is used, reserved and owed of balances that the caller has locked, as far as that has changed.';
