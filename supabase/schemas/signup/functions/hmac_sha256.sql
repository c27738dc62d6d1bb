-- Postgres has SHA-256 of its own but no HMAC without an extension.
create or replace function private.hmac_sha256(p_key bytea, p_message bytea)
returns bytea
language plpgsql immutable set search_path = ''
as $$
declare
  v_block constant integer := 64;
  v_inner bytea := case when length(p_key) > v_block then sha256(p_key) else p_key end;
  v_outer bytea;
begin
  v_inner := v_inner || decode(repeat('00', v_block - length(v_inner)), 'hex');
  v_outer := v_inner;
  for n in 0 .. v_block - 1 loop
    v_inner := set_byte(v_inner, n, get_byte(v_inner, n) # 54);
    v_outer := set_byte(v_outer, n, get_byte(v_outer, n) # 92);
  end loop;
  return sha256(v_outer || sha256(v_inner || p_message));
end
$$;
comment on function private.hmac_sha256(bytea, bytea) is 'Returns the HMAC-SHA256 (RFC 2104) of a message.';
