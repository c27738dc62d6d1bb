-- Lock order everywhere: the pool, then balances in id order.
create or replace function public.allocate(
  p_actor jsonb, p_kind text, p_subject_id uuid, p_tokens bigint, p_from_id uuid default null, p_key text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes balances, pools and the ledger, which no API role may.
declare
  v_actor text := private.require_admin(p_actor);
  v_request jsonb := jsonb_build_array('allocate', p_kind, p_subject_id, p_tokens, p_from_id);
  v_subjects uuid[] := array_remove(array[p_subject_id, p_from_id], null);
  v_pool public.budgets;
  v_reference text := gen_random_uuid()::text;
  v_before jsonb;
  v_answer jsonb;
begin
  if p_from_id = p_subject_id then
    raise sqlstate 'PT400' using message = 'SELF_TRANSFER';
  end if;
  select * into strict v_pool from public.budgets where subject_kind = p_kind for update;
  v_answer := private.earlier_answer((p_actor ->> 'id')::uuid, p_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  perform from public.balances b where b.subject_id = any (v_subjects) order by b.subject_id for update;
  perform private.require_subject(p_kind, s) from unnest(v_subjects) as s;
  perform private.enter_period(v_subjects);
  perform private.expire_reservations(v_subjects);
  v_before := jsonb_build_object('to', private.balance_json(p_subject_id), 'from', private.balance_json(p_from_id));

  if p_from_id is null then
    if v_pool.allocated + p_tokens > v_pool.total and p_tokens > 0 then
      raise sqlstate 'PT403' using message = 'BUDGET_EXCEEDED', detail = jsonb_build_object(
        'requested', p_tokens, 'remaining', greatest(v_pool.total - v_pool.allocated, 0)
      )::text;
    end if;
    perform private.change_allocation(
      p_subject_id, p_tokens, case when p_tokens > 0 then 'grant' else 'adjustment' end, v_actor, null
    );
    update public.budgets set allocated = allocated + p_tokens, updated_at = now() where subject_kind = p_kind;
  else
    perform private.change_allocation(p_from_id, -p_tokens, 'transfer', v_actor, v_reference);
    perform private.change_allocation(p_subject_id, p_tokens, 'transfer', v_actor, v_reference);
  end if;

  v_answer := private.balance_json(p_subject_id) || jsonb_build_object('from', private.balance_json(p_from_id));
  perform private.audit_admin(
    p_actor, case when p_from_id is null then 'allocate' else 'transfer' end,
    p_kind || ':' || p_subject_id, v_before,
    jsonb_build_object('to', private.balance_json(p_subject_id), 'from', private.balance_json(p_from_id))
  );
  if p_key is not null then
    perform private.remember_answer(
      (p_actor ->> 'id')::uuid, private.idempotency_key_hash(p_key), private.request_hash(v_request), v_answer
    );
  end if;
  return v_answer;
end
$$;
grant execute on function public.allocate(jsonb, text, uuid, bigint, uuid, text) to service_role;
comment on function public.allocate(jsonb, text, uuid, bigint, uuid, text) is
  'Gives tokens from the pool, takes unused ones back (negative), or moves them between two subjects. Returns the balance, with from for a transfer; raises BUDGET_EXCEEDED, INSUFFICIENT_TOKENS, SELF_TRANSFER, …_NOT_FOUND, IDEMPOTENCY_MISMATCH.';
