create or replace function private.device_key(p_device_id uuid, p_key text)
returns uuid
language plpgsql immutable strict set search_path = ''
as $$
begin
  if length(p_key) not between 1 and 255 then
    raise exception 'an idempotency key has 1 to 255 characters' using errcode = '22023';
  end if;
  return encode(
    substr(sha256(uuid_send(p_device_id) || substr(sha256(convert_to(p_key, 'UTF8')), 1, 16)), 1, 16), 'hex'
  )::uuid;
end
$$;
comment on function private.device_key(uuid, text) is
  'Returns an idempotency key of a device as it is stored: the first 128 bits of the SHA-256 of the device and of the key''s own hash (its first 128 bits); null for none.';
