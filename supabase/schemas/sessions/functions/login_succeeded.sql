-- Who gets in takes back their own attempts, and nobody else's: with an account of one's own one could otherwise go on
-- guessing at everybody's from the same address.
create or replace function private.login_succeeded(p_realm text, p_account text, p_address text)
returns void
language plpgsql volatile set search_path = ''
as $$
declare
  v_key constant text := p_account || ' ' || p_address;
  v_own integer;
begin
  insert into private.known_addresses (account, address) values (p_realm || ':' || p_account, p_address)
  on conflict (account, address) do update set last_login_at = now();
  delete from private.login_attempts where scope = p_realm || ':known' and key = v_key;
  delete from private.login_attempts where scope = p_realm || ':pair' and key = v_key returning attempts into v_own;
  -- Those beyond the limit of login_wait were not counted by address.
  update private.login_attempts set attempts = greatest(attempts - least(v_own, 10), 0)
   where scope = p_realm || ':address' and key = p_address and v_own is not null;
end
$$;
comment on function private.login_succeeded(text, text, text) is
  'After the right password: remembers the address and forgets the attempts at this account from it.';
