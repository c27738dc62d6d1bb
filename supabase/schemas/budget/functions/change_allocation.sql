-- Changes one allocation and its ledger; refuses to go below what is used and held. The caller holds the locks.
create or replace function private.change_allocation(
  p_subject_id uuid, p_tokens bigint, p_kind text, p_actor text, p_reference text
)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
begin
  select * into strict v_balance from public.balances where subject_id = p_subject_id;
  if v_balance.remaining + p_tokens < 0 then
    raise sqlstate 'PT403' using message = 'INSUFFICIENT_TOKENS', detail = jsonb_build_object(
      'requested', -p_tokens, 'remaining', v_balance.remaining
    )::text;
  end if;
  if v_balance.allocated + p_tokens > 9007199254740991 then
    raise sqlstate 'PT400' using message = 'ALLOCATION_TOO_LARGE';
  end if;
  update public.balances set allocated = allocated + p_tokens, updated_at = now() where subject_id = p_subject_id;
  insert into public.ledger_entries (subject_id, kind, amount, period, actor, reference)
  values (p_subject_id, p_kind, p_tokens, v_balance.period, p_actor, p_reference);
end
$$;
comment on function private.change_allocation(uuid, bigint, text, text, text) is
  'Adds to (or takes from) an allocation and writes the ledger entry; raises INSUFFICIENT_TOKENS.';
