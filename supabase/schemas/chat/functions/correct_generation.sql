create or replace function public.correct_generation(p_id uuid, p_input_tokens bigint, p_output_tokens bigint)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes balances, pools and the ledger, which no API role may.
declare
  v_generation public.generations;
  v_input bigint := p_input_tokens;
  v_output bigint := p_output_tokens;
  v_provenance text := 'provider_final';
  v_amount bigint;
begin
  -- The pool before the balance, as everywhere.
  perform from public.budgets where subject_kind = 'user' for update;
  perform from public.balances b join public.generations g on g.subject_id = b.subject_id
    where g.id = p_id for update of b;
  select g.* into v_generation from public.generations g where g.id = p_id;
  if v_generation.provenance is distinct from 'estimated' then
    return '{"corrected": false, "amount": 0}';
  end if;
  -- A count that what was seen contradicts changes nothing: the estimate stands, and upstream is asked again.
  if v_input < v_generation.input_floor then
    v_input := greatest(v_input, v_generation.input_tokens);
    v_provenance := 'estimated';
  end if;
  if v_output < v_generation.output_floor then
    v_output := greatest(v_output, v_generation.output_tokens);
    v_provenance := 'estimated';
  end if;
  if v_provenance = 'provider_final' then
    v_generation.reconcile_at := null;
  end if;
  v_amount := private.change_settlement(v_generation, v_provenance, v_input, v_output, 'system:reconciliation');
  return jsonb_build_object('corrected', v_provenance = 'provider_final' or v_amount <> 0, 'amount', v_amount);
end
$$;
grant execute on function public.correct_generation(uuid, bigint, bigint) to service_role;
comment on function public.correct_generation(uuid, bigint, bigint) is
  'Corrects an estimated generation to what upstream counted, by a ledger entry; a number that is less than what was seen can be leaves the estimate. Returns {corrected, amount}: tokens given back, or taken where negative.';
