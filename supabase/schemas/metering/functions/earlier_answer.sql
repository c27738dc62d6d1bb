-- A key already used repeats its answer. The caller holds a lock that serialises calls with this key.
create or replace function private.earlier_answer(p_subject_id uuid, p_key text, p_request jsonb)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_earlier private.idempotency_keys;
begin
  select * into v_earlier from private.idempotency_keys where subject_id = p_subject_id and key = p_key;
  if v_earlier.request_hash is distinct from sha256(convert_to(p_request::text, 'UTF8')) and v_earlier.key is not null then
    raise sqlstate 'PT422' using message = 'IDEMPOTENCY_MISMATCH';
  end if;
  return v_earlier.answer;
end
$$;
comment on function private.earlier_answer(uuid, text, jsonb) is
  'Returns the answer given to this idempotency key before, or null; raises IDEMPOTENCY_MISMATCH for another request.';
