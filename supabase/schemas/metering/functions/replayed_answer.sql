-- The caller holds a lock that serialises calls with this key.
create or replace function private.replayed_answer(p_subject_id uuid, p_key_hash uuid, p_request_hash bigint)
returns jsonb
language plpgsql stable set search_path = ''
as $$
declare
  v_earlier private.idempotency_keys;
begin
  select k.* into v_earlier
    from private.idempotency_keys k where k.subject_id = p_subject_id and k.key = p_key_hash;
  if v_earlier.request_hash <> p_request_hash then
    return '{"code": "IDEMPOTENCY_MISMATCH"}';
  end if;
  return v_earlier.answer;
end
$$;
comment on function private.replayed_answer(uuid, uuid, bigint) is
  'Returns the answer given to this idempotency key before, {code: IDEMPOTENCY_MISMATCH} for another request, null where the key is new.';
