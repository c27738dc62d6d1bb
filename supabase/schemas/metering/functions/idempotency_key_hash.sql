create or replace function private.idempotency_key_hash(p_key text)
returns uuid
language plpgsql immutable set search_path = ''
as $$
begin
  if length(p_key) not between 1 and 255 then
    raise exception 'an idempotency key has 1 to 255 characters' using errcode = '22023';
  end if;
  return encode(substr(sha256(convert_to(p_key, 'UTF8')), 1, 16), 'hex')::uuid;
end
$$;
comment on function private.idempotency_key_hash(text) is
  'Returns an idempotency key as it is stored, the first 128 bits of its SHA-256; null for none.';
