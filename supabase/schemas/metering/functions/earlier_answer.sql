create or replace function private.earlier_answer(p_subject_id uuid, p_key text, p_request jsonb)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_answer jsonb := private.replayed_answer(
    p_subject_id, private.idempotency_key_hash(p_key), private.request_hash(p_request)
  );
begin
  if v_answer ->> 'code' = 'IDEMPOTENCY_MISMATCH' then
    raise sqlstate 'PT422' using message = 'IDEMPOTENCY_MISMATCH';
  end if;
  return v_answer;
end
$$;
comment on function private.earlier_answer(uuid, text, jsonb) is
  'Returns the answer given to this idempotency key before, or null; raises IDEMPOTENCY_MISMATCH for another request.';
