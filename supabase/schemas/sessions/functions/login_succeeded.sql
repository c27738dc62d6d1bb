create or replace function private.login_succeeded(p_realm text, p_account text, p_address text)
returns void
language plpgsql volatile set search_path = ''
as $$
begin
  insert into private.known_addresses (account, address) values (p_realm || ':' || p_account, p_address)
  on conflict (account, address) do update set last_login_at = now();
  delete from private.login_attempts
   where (scope, key) in (
     (p_realm || ':address', p_address), (p_realm || ':known', p_account || ' ' || p_address),
     (p_realm || ':pair', p_account || ' ' || p_address)
   );
end
$$;
comment on function private.login_succeeded(text, text, text) is
  'After the right password: remembers the address and forgets its failed attempts.';
