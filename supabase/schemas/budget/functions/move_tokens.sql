-- The caller holds the pool and the balances.
create or replace function private.move_tokens(
  p_kind text, p_subject_id uuid, p_tokens bigint, p_from_id uuid, p_actor text, p_reference text
)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_pool public.budgets;
  v_reference text := coalesce(p_reference, gen_random_uuid()::text);
  v_entry uuid;
begin
  if p_from_id is not null then
    v_entry := private.record_allocation(p_from_id, -p_tokens, 'transfer', p_actor, v_reference);
    return jsonb_build_array(
      jsonb_build_object(
        'id', private.record_allocation(p_subject_id, p_tokens, 'transfer', p_actor, v_reference),
        'kind', 'transfer', p_kind || '_id', p_subject_id, 'amount', p_tokens
      ),
      jsonb_build_object('id', v_entry, 'kind', 'transfer', p_kind || '_id', p_from_id, 'amount', -p_tokens)
    );
  end if;
  select * into strict v_pool from public.budgets where subject_kind = p_kind;
  if v_pool.allocated + p_tokens > v_pool.total and p_tokens > 0 then
    raise sqlstate 'PT403' using message = 'BUDGET_EXCEEDED', detail = jsonb_build_object(
      'requested', p_tokens, 'remaining', greatest(v_pool.total - v_pool.allocated, 0)
    )::text;
  end if;
  v_entry := private.record_allocation(
    p_subject_id, p_tokens, case when p_tokens > 0 then 'grant' else 'adjustment' end, p_actor, p_reference
  );
  update public.budgets set allocated = allocated + p_tokens, updated_at = now() where subject_kind = p_kind;
  return jsonb_build_array(jsonb_build_object(
    'id', v_entry, 'kind', case when p_tokens > 0 then 'grant' else 'adjustment' end,
    p_kind || '_id', p_subject_id, 'amount', p_tokens
  ));
end
$$;
comment on function private.move_tokens(text, uuid, bigint, uuid, text, text) is
  'Moves tokens between a balance and its pool, or between two balances, and returns the ledger entries [{id, kind, …_id, amount}]; raises BUDGET_EXCEEDED, INSUFFICIENT_TOKENS. A null reference is one of its own for a transfer.';
