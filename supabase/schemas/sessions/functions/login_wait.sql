-- Strangers share an account's attempts; an address that has logged in before has its own, so that nobody can lock
-- the owner out by trying.
create or replace function private.login_wait(p_realm text, p_account text, p_address text)
returns integer
language plpgsql volatile set search_path = ''
as $$
begin
  if exists (
    select from private.known_addresses where account = p_realm || ':' || p_account and address = p_address
  ) then
    return private.count_attempt(p_realm || ':known', p_account || ' ' || p_address, 20, interval '15 minutes');
  end if;
  return greatest(
    private.count_attempt(p_realm || ':address', p_address, 20, interval '15 minutes'),
    private.count_attempt(p_realm || ':account', p_account, 10, interval '1 minute')
  );
end
$$;
comment on function private.login_wait(text, text, text) is
  'Counts a log-in attempt at an account of a realm (admin, user) from an address; returns null, or the seconds to wait.';
