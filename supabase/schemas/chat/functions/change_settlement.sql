-- Changes what a closed generation came to. Its tokens change by a ledger entry, and what it was settled at stays in its
-- event; what upstream charges is no part of the ledger, and changes in the event. The caller has locked the pool and then
-- the balance.
create or replace function private.change_settlement(
  p_generation public.generations, p_provenance text, p_input bigint, p_output bigint, p_nano_usd bigint,
  p_actor text
)
returns bigint
language plpgsql volatile set search_path = ''
as $$
declare
  v_balance public.balances;
  v_difference bigint :=
    private.weighted_tokens(p_generation, p_generation.input_tokens, p_generation.output_tokens)
    - private.weighted_tokens(p_generation, p_input, p_output);
  v_amount bigint;
begin
  select b.* into strict v_balance from public.balances b where b.subject_id = p_generation.subject_id;
  v_amount := case
    when v_difference > 0 then greatest(v_difference - p_generation.uncollected, 0)
    -- More than an account was ever given, and does not hold for others, cannot be taken from it.
    else greatest(v_difference, v_balance.reserved - v_balance.allocated)
  end;
  if v_amount <> 0 then
    -- What can no longer be taken back becomes debt.
    update public.balances b
       set allocated = b.allocated + v_amount,
           used = b.used - greatest(-b.remaining - v_amount, 0),
           debt = b.debt + greatest(-b.remaining - v_amount, 0),
           updated_at = now()
     where b.subject_id = p_generation.subject_id;
    insert into public.ledger_entries (subject_id, kind, amount, period, actor, reference)
    values (
      p_generation.subject_id, 'correction', v_amount, v_balance.period, p_actor, 'generation:' || p_generation.id
    );
    update public.budgets set allocated = allocated + v_amount, updated_at = now() where subject_kind = 'user';
  end if;
  update public.generations g
     set provenance = p_provenance, input_tokens = p_input, output_tokens = p_output,
         provider = p_generation.provider, upstream_id = p_generation.upstream_id,
         input_floor = p_generation.input_floor, output_floor = p_generation.output_floor,
         uncollected = g.uncollected + v_amount - v_difference,
         reconcile_at = p_generation.reconcile_at
   where g.id = p_generation.id;
  perform private.change_event_money(
    p_generation, p_provenance, private.generation_money(p_generation, p_provenance, p_input, p_output, p_nano_usd)
  );
  return v_amount;
end
$$;
comment on function private.change_settlement(public.generations, text, bigint, bigint, bigint, text) is
  'Changes what a closed generation came to, in tokens and in money, with a ledger entry for the difference; returns the tokens given back, negative where more were taken. The pool and the balance must be locked by the caller.';
