create or replace trigger ledger_entries_append_only
  before update or delete or truncate on public.ledger_entries
  for each statement execute function private.refuse_change();

create or replace trigger balances_pay_debt
  before update on public.balances
  for each row when (new.debt > 0) execute function private.pay_debt();
