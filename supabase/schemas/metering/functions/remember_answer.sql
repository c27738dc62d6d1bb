create or replace function private.remember_answer(
  p_subject_id uuid, p_key_hash uuid, p_request_hash bigint, p_answer jsonb
)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  insert into private.idempotency_keys (subject_id, key, request_hash, answer)
  values (p_subject_id, p_key_hash, p_request_hash, p_answer);
end
$$;
comment on function private.remember_answer(uuid, uuid, bigint, jsonb) is
  'Keeps the answer to a write that carried an idempotency key; nothing is kept of one that took no effect.';
