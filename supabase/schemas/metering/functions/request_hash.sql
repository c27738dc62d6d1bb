create or replace function private.request_hash(p_request jsonb)
returns bigint
language plpgsql immutable set search_path = ''
as $$
begin
  return ('x' || encode(substr(sha256(convert_to(p_request::text, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint;
end
$$;
comment on function private.request_hash(jsonb) is
  'Returns what an idempotency key remembers of a request: the first 64 bits of the SHA-256 of its text.';
