-- Changes one allocation and its ledger; refuses to go below what is used and held. The caller holds the locks.
create or replace function private.record_allocation(
  p_subject_id uuid, p_tokens bigint, p_kind text, p_actor text, p_reference text
)
returns uuid
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
  v_entry uuid;
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
  update public.balances
     set allocated = allocated + p_tokens, updated_at = now(),
         -- Where tokens come in, a person's thresholds are measured anew.
         alert_at = case
           when subject_kind = 'device' or p_tokens < 0 or p_kind not in ('grant', 'subscription') then alert_at
         end
   where subject_id = p_subject_id;
  insert into public.ledger_entries (subject_id, kind, amount, period, actor, reference)
  values (p_subject_id, p_kind, p_tokens, v_balance.period, p_actor, p_reference)
  returning id into v_entry;
  return v_entry;
end
$$;
comment on function private.record_allocation(uuid, bigint, text, text, text) is
  'Adds to (or takes from) an allocation and writes the ledger entry, whose id it returns; raises INSUFFICIENT_TOKENS.';
