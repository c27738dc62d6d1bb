-- Whoever keeps trying one account from one network is told to wait for that account alone: neither others behind the
-- same address nor the account's owner elsewhere wait for it. What remains is counted by network, for those who try many
-- names, and by account, which many networks together can only slow down; a network that has logged in before is not
-- slowed down by them.
create or replace function private.login_wait(p_realm text, p_account text, p_address text)
returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  v_wait integer;
begin
  if exists (
    select from private.known_addresses where account = p_realm || ':' || p_account and address = p_address
  ) then
    return private.count_attempt(p_realm || ':known', p_account || ' ' || p_address, 20, interval '15 minutes');
  end if;
  v_wait := private.count_attempt(p_realm || ':pair', p_account || ' ' || p_address, 10, interval '15 minutes');
  if v_wait is not null then
    return v_wait;
  end if;
  return greatest(
    private.count_attempt(p_realm || ':address', p_address, 20, interval '15 minutes'),
    private.count_attempt(p_realm || ':account', p_account, 10, interval '1 minute')
  );
end
$$;
comment on function private.login_wait(text, text, text) is
  'Counts a log-in attempt at an account of a realm (admin, user) from a network; returns null, or the seconds to wait.';
