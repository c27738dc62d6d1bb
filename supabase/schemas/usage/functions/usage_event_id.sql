-- An observed event is told from others by what it says, so that the same one sent twice has the same id. The id begins
-- with its time (RFC 9562, version 8), so that it says where the event is kept.
create or replace function private.usage_event_id(p_user_id uuid, p_timestamp_ms bigint, p_content jsonb)
returns uuid
language plpgsql immutable set search_path = ''
as $$
declare
  v_hex constant text := encode(sha256(convert_to(p_user_id || p_content::text, 'UTF8')), 'hex');
begin
  return (
    lpad(to_hex(p_timestamp_ms), 12, '0') || '8' || substr(v_hex, 1, 3) || '8' || substr(v_hex, 4, 15)
  )::uuid;
end
$$;
comment on function private.usage_event_id(uuid, bigint, jsonb) is
  'Returns the id of an observed event: 48 bits of its time in milliseconds, then 72 bits of the SHA-256 of its user and content.';
