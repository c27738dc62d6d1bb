-- Adds tokens to a person's balance. The pool does not stop it: what was paid for must not be lost, so the pool may go over
-- its total, and then gives nothing to others until an admin raises it.
create or replace function private.grant_subscription(p_user_id uuid, p_tokens bigint, p_reference text)
returns bigint
language plpgsql volatile set search_path = ''
as $$
declare
  v_tokens bigint;
begin
  perform from public.budgets where subject_kind = 'user' for update;
  select least(p_tokens, 9007199254740991 - b.allocated) into strict v_tokens
    from public.balances b where b.subject_id = p_user_id for update;
  if v_tokens <= 0 then
    return 0;
  end if;
  perform private.record_allocation(p_user_id, v_tokens, 'subscription', 'system:stripe', p_reference);
  update public.budgets set allocated = allocated + v_tokens, updated_at = now() where subject_kind = 'user';
  return v_tokens;
end
$$;
comment on function private.grant_subscription(uuid, bigint, text) is
  'Grants tokens that were paid for, through the ledger; returns how many, less only where a balance could not hold them.';
