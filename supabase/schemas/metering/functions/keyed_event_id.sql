-- The id of what was debited with a key follows from the key and the time (RFC 9562, version 8), so that the key need not
-- remember it. With the time, as the same key may be used again once it is forgotten.
create or replace function private.keyed_event_id(p_key uuid, p_at timestamptz)
returns uuid
language plpgsql immutable set search_path = ''
as $$
begin
  return overlay(overlay(
    encode(substr(sha256(uuid_send(p_key) || timestamptz_send(p_at)), 1, 16), 'hex') placing '8' from 13
  ) placing '8' from 17)::uuid;
end
$$;
comment on function private.keyed_event_id(uuid, timestamptz) is
  'Returns the id of the event that a device''s debit with an idempotency key, as device_key makes it, made at a time.';
