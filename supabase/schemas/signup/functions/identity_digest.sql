-- The key is in the database and not in the server's configuration, so that it survives a new JWT_SECRET. It keeps what
-- leaks without it from being tried against lists of addresses; whoever has the whole database has the addresses anyway.
create or replace function private.identity_digest(p_identity text)
returns bytea
language plpgsql volatile set search_path = ''
as $$
declare
  v_key bytea;
begin
  loop
    select s.value into v_key from private.secrets s where s.name = 'granted identities';
    exit when found;
    insert into private.secrets (name, value)
    values ('granted identities', sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())))
    on conflict (name) do nothing;
  end loop;
  return private.hmac_sha256(v_key, convert_to(p_identity, 'UTF8'));
end
$$;
comment on function private.identity_digest(text) is
  'Returns what is remembered of an identity: its HMAC under a random key that is made when it is first needed.';
