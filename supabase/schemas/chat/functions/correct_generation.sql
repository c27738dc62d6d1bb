create or replace function public.correct_generation(p_id uuid, p_input_tokens bigint, p_output_tokens bigint)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes balances, pools and the ledger, which no API role may.
declare
  v_generation public.generations;
  v_balance public.balances;
  v_difference bigint;
  v_amount bigint;
begin
  -- The pool before the balance, as everywhere.
  perform from public.budgets where subject_kind = 'user' for update;
  select b.* into v_balance
    from public.balances b join public.generations g on g.subject_id = b.subject_id
   where g.id = p_id for update of b;
  select g.* into v_generation from public.generations g where g.id = p_id;
  if v_generation.provenance is distinct from 'estimated' then
    return '{"corrected": false, "amount": 0}';
  end if;
  v_difference := v_generation.input_tokens + v_generation.output_tokens - p_input_tokens - p_output_tokens;
  -- More than an account was ever given, and does not hold for others, cannot be taken from it.
  v_amount := greatest(v_difference, v_balance.reserved - v_balance.allocated);
  if v_amount <> 0 then
    -- What can no longer be taken back becomes debt.
    update public.balances b
       set allocated = b.allocated + v_amount,
           used = b.used - greatest(b.used + b.reserved - b.allocated - v_amount, 0),
           debt = b.debt + greatest(b.used + b.reserved - b.allocated - v_amount, 0),
           updated_at = now()
     where b.subject_id = v_generation.subject_id;
    insert into public.ledger_entries (subject_id, kind, amount, period, actor, reference)
    values (
      v_generation.subject_id, 'correction', v_amount, v_balance.period, 'system:reconciliation', 'generation:' || p_id
    );
    update public.budgets set allocated = allocated + v_amount, updated_at = now() where subject_kind = 'user';
  end if;
  update public.generations g
     set provenance = 'provider_final', input_tokens = p_input_tokens, output_tokens = p_output_tokens,
         uncollected = v_amount - v_difference, reconcile_at = null
   where g.id = p_id;
  return jsonb_build_object('corrected', true, 'amount', v_amount);
end
$$;
grant execute on function public.correct_generation(uuid, bigint, bigint) to service_role;
comment on function public.correct_generation(uuid, bigint, bigint) is
  'Corrects an estimated generation to what upstream counted, once, by a ledger entry. Returns {corrected, amount}: tokens given back, or taken where negative.';
