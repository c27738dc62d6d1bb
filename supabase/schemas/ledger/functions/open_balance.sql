create or replace function private.open_balance(p_subject_id uuid, p_kind text, p_tokens bigint, p_actor text)
returns public.balances
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
  v_granted bigint;
begin
  -- What the pool still has, at most; an empty pool opens an empty balance.
  select least(p_tokens, greatest(coalesce(b.total - b.allocated, p_tokens), 0)) into strict v_granted
    from public.budgets b where b.subject_kind = p_kind for update;
  update public.budgets set allocated = allocated + v_granted, updated_at = now() where subject_kind = p_kind;

  insert into public.balances (subject_id, subject_kind, allocated, period)
  values (
    p_subject_id, p_kind, v_granted,
    coalesce((select max(p.number) from public.periods p where p_kind = 'device'), 1)
  )
  returning * into v_balance;
  insert into public.ledger_entries (subject_id, kind, amount, period, actor)
  select p_subject_id, 'grant', v_granted, v_balance.period, p_actor where v_granted <> 0;
  return v_balance;
end
$$;
comment on function private.open_balance(uuid, text, bigint, text) is
  'Opens the balance of a new device or user with tokens drawn from its pool, as many as the pool still has.';
