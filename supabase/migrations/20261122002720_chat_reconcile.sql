-- Chat, reconciliation: where a use could only be estimated, upstream's own count corrects it later.

create or replace function public.claim_estimated_generations(p_limit integer)
returns table (id uuid, upstream_id text)
language sql volatile security definer set search_path = ''
as $$
-- Definer: generations are written by no API role. Several servers may ask at once: each gets others.
  with due as (
    select g.id from public.generations g
     where g.reconcile_at <= now()
     order by g.reconcile_at
     limit p_limit
     for update skip locked
  )
  update public.generations g
     set reconcile_tries = g.reconcile_tries + 1,
         -- Upstream knows a count some seconds after a stream has ended; after two days it will not any more.
         reconcile_at = case
           when g.reconcile_tries < 14 then now() + least(interval '30 seconds' * 2 ^ g.reconcile_tries, interval '6 hours')
         end
    from due
   where g.id = due.id
  returning g.id, g.upstream_id
$$;
revoke all on function public.claim_estimated_generations(integer) from public, anon, authenticated, service_role;
grant execute on function public.claim_estimated_generations(integer) to service_role;
comment on function public.claim_estimated_generations(integer) is
  'Estimated generations whose count upstream may know by now; each is given out again later, up to 15 times, until it is corrected.';

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
    -- What is not there to be taken back any more becomes debt.
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
revoke all on function public.correct_generation(uuid, bigint, bigint) from public, anon, authenticated, service_role;
grant execute on function public.correct_generation(uuid, bigint, bigint) to service_role;
comment on function public.correct_generation(uuid, bigint, bigint) is
  'Corrects an estimated generation to what upstream counted, once, by a ledger entry. Answers {corrected, amount}: tokens given back, or taken where negative.';
