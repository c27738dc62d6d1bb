-- The answer to a chat request is not kept, so it cannot be given again; it must not be paid for again either.
create or replace function private.claim_generation_key(p_user_id uuid, p_item jsonb)
returns text
language plpgsql volatile set search_path = ''
as $$
declare
  v_key constant uuid := private.idempotency_key_hash(p_item ->> 'idempotency_key');
  -- The first 64 bits of what the server has hashed.
  v_request constant bigint := ('x' || left(p_item ->> 'request_hash', 16))::bit(64)::bigint;
begin
  insert into private.idempotency_keys (subject_id, key, request_hash, answer)
  values (p_user_id, v_key, v_request, jsonb_build_object('hold', p_item ->> 'hold'))
  on conflict (subject_id, key) do nothing;
  if found then
    return null;
  end if;
  return (
    select case when k.request_hash = v_request then 'ALREADY_ANSWERED' else 'IDEMPOTENCY_MISMATCH' end
      from private.idempotency_keys k
     where k.subject_id = p_user_id and k.key = v_key
  );
end
$$;
comment on function private.claim_generation_key(uuid, jsonb) is
  'Remembers the idempotency key of a chat request; returns ALREADY_ANSWERED or IDEMPOTENCY_MISMATCH where it was used before.';
