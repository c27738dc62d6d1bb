-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on public.usage_events
  for each statement execute function private.refuse_by_hand('events, their sums and their debits are written together, by meter_devices(), meter_chat() and record_usage(); to make up for a use call grant_tokens(subject, tokens, ''why'')');
alter table public.usage_events enable always trigger by_hand;

create or replace trigger by_hand
  before update or delete or truncate on public.usage_rollups
  for each statement execute function private.refuse_by_hand('events, their sums and their debits are written together, by meter_devices(), meter_chat() and record_usage(); to make up for a use call grant_tokens(subject, tokens, ''why'')');
alter table public.usage_rollups enable always trigger by_hand;

create or replace trigger by_hand_insert
  after insert on public.usage_rollups
  for each row execute function private.refuse_by_hand('events, their sums and their debits are written together, by meter_devices(), meter_chat() and record_usage(); to make up for a use call grant_tokens(subject, tokens, ''why'')');
alter table public.usage_rollups enable always trigger by_hand_insert;

create or replace trigger by_hand
  before update or delete or truncate on public.usage_totals
  for each statement execute function private.refuse_by_hand('events, their sums and their debits are written together, by meter_devices(), meter_chat() and record_usage(); to make up for a use call grant_tokens(subject, tokens, ''why'')');
alter table public.usage_totals enable always trigger by_hand;

create or replace trigger by_hand_insert
  after insert on public.usage_totals
  for each row execute function private.refuse_by_hand('events, their sums and their debits are written together, by meter_devices(), meter_chat() and record_usage(); to make up for a use call grant_tokens(subject, tokens, ''why'')');
alter table public.usage_totals enable always trigger by_hand_insert;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.rollup_names
  for each statement execute function private.refuse_by_hand('events, their sums and their debits are written together, by meter_devices(), meter_chat() and record_usage(); to make up for a use call grant_tokens(subject, tokens, ''why'')');
alter table private.rollup_names enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.reservations
  for each statement execute function private.refuse_by_hand('holds are settled by meter_devices() and meter_chat(), and those that expired are ended by maintain()');
alter table public.reservations enable always trigger by_hand;

create or replace trigger by_hand
  before truncate on public.model_costs
  for each statement execute function private.refuse_by_hand('delete the rows you mean, or call set_model_costs()');
alter table public.model_costs enable always trigger by_hand;

create or replace trigger by_hand_last
  after delete on public.model_costs
  for each row when (old.model = '*')
  execute function private.refuse_by_hand('the price of all other models can be changed, by an update or set_model_costs(), and never removed');
alter table public.model_costs enable always trigger by_hand_last;

create or replace trigger by_hand_row
  after insert or update or delete on public.model_costs
  for each row when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand('model', 'model', 'cost,updated_at', 'cost', 'insert a row for another model, as set_model_costs() does');
alter table public.model_costs enable always trigger by_hand_row;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.idempotency_keys
  for each statement execute function private.refuse_by_hand('without them a request that is sent again would be charged again; they go by themselves, by maintain()');
alter table private.idempotency_keys enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.device_keys
  for each statement execute function private.refuse_by_hand('without them a request that is sent again would be charged again; they go by themselves, by maintain()');
alter table private.device_keys enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.daily_usage
  for each statement execute function private.refuse_by_hand('maintain() sums days up, and verify_ledger(true) proves their sums');
alter table private.daily_usage enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.quarter_hour_usage
  for each statement execute function private.refuse_by_hand('maintain() sums days up, and verify_ledger(true) proves their sums');
alter table private.quarter_hour_usage enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.daily_subject_usage
  for each statement execute function private.refuse_by_hand('maintain() sums days up, and verify_ledger(true) proves their sums');
alter table private.daily_subject_usage enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.monthly_subject_usage
  for each statement execute function private.refuse_by_hand('maintain() sums days up, and verify_ledger(true) proves their sums');
alter table private.monthly_subject_usage enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.summed_days
  for each statement execute function private.refuse_by_hand('maintain() sums days up, and verify_ledger(true) proves their sums');
alter table private.summed_days enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.changed_days
  for each statement execute function private.refuse_by_hand('maintain() sums days up, and verify_ledger(true) proves their sums');
alter table private.changed_days enable always trigger by_hand;
