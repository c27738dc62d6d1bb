-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on public.periods
  for each statement execute function private.refuse_by_hand('call start_period(tokens), which ends the period and gives every device its tokens');
alter table public.periods enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.period_balances
  for each statement execute function private.refuse_by_hand('call start_period(tokens), which ends the period and gives every device its tokens');
alter table public.period_balances enable always trigger by_hand;
