-- Lock order everywhere: the pool, then balances in id order.
create or replace function private.allocate_tokens(
  p_by jsonb, p_kind text, p_subject_id uuid, p_tokens bigint, p_from_id uuid, p_key text
)
returns jsonb
language plpgsql volatile set search_path = ''
as $$
declare
  v_actor constant text := p_by ->> 'name';
  v_request jsonb := jsonb_build_array('allocate', p_kind, p_subject_id, p_tokens, p_from_id);
  v_subjects uuid[] := array_remove(array[p_subject_id, p_from_id], null);
  v_before jsonb;
  v_entries jsonb;
  v_answer jsonb;
begin
  if p_from_id = p_subject_id then
    raise sqlstate 'PT400' using message = 'SELF_TRANSFER';
  end if;
  perform from public.budgets where subject_kind = p_kind for update;
  v_answer := private.earlier_answer((p_by ->> 'id')::uuid, p_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  perform from public.balances b where b.subject_id = any (v_subjects) order by b.subject_id for update;
  perform private.require_subject(p_kind, s) from unnest(v_subjects) as s;
  perform private.enter_period(v_subjects);
  perform private.expire_reservations(v_subjects);
  v_before := jsonb_build_object('to', private.balance_json(p_subject_id), 'from', private.balance_json(p_from_id));

  v_entries := private.move_tokens(p_kind, p_subject_id, p_tokens, p_from_id, v_actor, null);
  v_answer := private.moved_json(p_subject_id, p_from_id, v_before, v_entries);
  perform private.audit_by(
    p_by, case when p_from_id is null then 'allocate' else 'transfer' end,
    p_kind || ':' || p_subject_id, v_before,
    jsonb_build_object('to', private.balance_json(p_subject_id), 'from', private.balance_json(p_from_id))
  );
  if p_key is not null then
    perform private.remember_answer(
      (p_by ->> 'id')::uuid, private.idempotency_key_hash(p_key), private.request_hash(v_request), v_answer
    );
  end if;
  return v_answer;
end
$$;
comment on function private.allocate_tokens(jsonb, text, uuid, bigint, uuid, text) is
  'Gives tokens from the pool, takes unused ones back (negative), or moves them between two subjects, in the name of {id, name, …}. Returns the balance, with from for a transfer; raises BUDGET_EXCEEDED, INSUFFICIENT_TOKENS, SELF_TRANSFER, …_NOT_FOUND, IDEMPOTENCY_MISMATCH.';
