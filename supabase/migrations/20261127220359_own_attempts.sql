-- Getting in forgets only the attempts at that account, and a network is remembered after it was looked whether it is new.

set check_function_bodies = off;

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

create or replace function public.finish_user_login(
  p_user_id uuid, p_changed_at text, p_address text, p_session jsonb, p_rehashed text default null
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
-- Definer: writes sessions and counters, which no API role may.
begin
  -- The password that was checked must still be the account's; the lock lets no change slip between. A hash brought up to
  -- date by another log-in at the same time is of the same password, and leaves the time of its change as it is.
  perform from private.user_credentials c
   where c.user_id = p_user_id and c.updated_at = p_changed_at::timestamptz
     for update;
  if not found then
    raise sqlstate 'PT401' using message = 'INVALID_CREDENTIALS';
  end if;
  update private.user_credentials set password_hash = p_rehashed where user_id = p_user_id and p_rehashed is not null;
  return private.open_session(p_user_id, p_session || jsonb_build_object('network', p_address));
end
$$;
grant execute on function public.finish_user_login(uuid, text, text, jsonb, text) to service_role;
comment on function public.finish_user_login(uuid, text, text, jsonb, text) is
  'After the right password: opens a session, if the password was not changed since, and keeps a hash of it made with today''s pepper, where one is given. Returns {session_id, user, new_network}; raises INVALID_CREDENTIALS, ACCOUNT_SUSPENDED.';

reset check_function_bodies;

-- Notes the SHA-256 of the text above.
select private.record_migration('20261127220359', 'b1d8b1589ec0fbc9aec623ae633aa490e3170e11c37bb9968ac5a17ee3b1756e');
