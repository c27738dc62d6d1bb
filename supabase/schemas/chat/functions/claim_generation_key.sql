-- The answer to a chat request is not kept, so it cannot be given again; it must not be paid for again either.
create or replace function private.claim_generation_key(p_user_id uuid, p_item jsonb)
returns text
language plpgsql volatile set search_path = ''
as $$
declare
  v_hash constant bytea := decode(p_item ->> 'request_hash', 'hex');
begin
  insert into private.idempotency_keys (subject_id, key, request_hash, answer)
  values (p_user_id, p_item ->> 'idempotency_key', v_hash, jsonb_build_object('hold', p_item ->> 'hold'))
  on conflict (subject_id, key) do nothing;
  if found then
    return null;
  end if;
  return (
    select case when k.request_hash = v_hash then 'ALREADY_ANSWERED' else 'IDEMPOTENCY_MISMATCH' end
      from private.idempotency_keys k
     where k.subject_id = p_user_id and k.key = p_item ->> 'idempotency_key'
  );
end
$$;
comment on function private.claim_generation_key(uuid, jsonb) is
  'Remembers the idempotency key of a chat request; returns ALREADY_ANSWERED or IDEMPOTENCY_MISMATCH where it was used before.';
