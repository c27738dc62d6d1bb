-- Ordinary debits are compared with two numbers of their own row, and call nothing. What pays debt comes before, by its name.
create or replace trigger balances_warn
  before update on public.balances
  for each row when (
    new.used > old.used
    and (
      new.alert_at is null or new.used >= new.alert_at
      or new.alert_period <> new.period or new.alert_allocated <> new.allocated
    )
  ) execute function private.warn_of_balance();

create or replace trigger budgets_warn
  before update on public.budgets
  for each row when (new.total is not null) execute function private.warn_of_pool();

-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on private.alert_settings
  for each statement execute function private.refuse_by_hand('call set_alert_settings(), as the admin API does');
alter table private.alert_settings enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.alert_mails
  for each statement execute function private.refuse_by_hand('they are queued by queue_alert_mail() and go with their mails');
alter table private.alert_mails enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.alerts
  for each statement execute function private.refuse_by_hand('they are written by raise_alert() and go with their account, or after 90 days');
alter table private.alerts enable always trigger by_hand;
