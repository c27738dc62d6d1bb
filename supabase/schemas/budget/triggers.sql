-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on public.budgets
  for each statement execute function private.refuse_by_hand('call set_pool(''device'', tokens, ''why''), or ''user''; what is allocated follows grant_tokens() and take_back_tokens()');
alter table public.budgets enable always trigger by_hand;
