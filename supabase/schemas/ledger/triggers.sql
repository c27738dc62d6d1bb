create or replace trigger ledger_entries_append_only
  before update or delete or truncate on public.ledger_entries
  for each statement execute function private.refuse_change('make up for an entry with grant_tokens() or take_back_tokens()');

create or replace trigger balances_pay_debt
  before update on public.balances
  for each row when (new.debt > 0) execute function private.pay_debt();

-- What changes in months that are over is noted, so that their seals stay right. The conditions keep the notes away from
-- what is written every day: a month is sealed a day after its end at the earliest.
create or replace trigger mark_changed_events
  after insert on public.usage_events
  for each row when (new.occurred_at < clock_timestamp() - interval '24 hours')
  execute function private.mark_changed_event();
create or replace trigger mark_changed_events_later
  after update or delete on public.usage_events
  for each row execute function private.mark_changed_event();

create or replace trigger mark_changed_rollups
  after insert on public.usage_rollups
  for each row when (new.bucket < clock_timestamp() - interval '24 hours')
  execute function private.mark_changed_rollup();
create or replace trigger mark_changed_rollups_update
  after update on public.usage_rollups
  for each row when (least(old.bucket, new.bucket) < clock_timestamp() - interval '24 hours')
  execute function private.mark_changed_rollup();
-- What archive_month takes away was packed before, and proved by the seal.
create or replace trigger mark_changed_rollups_later
  after delete on public.usage_rollups
  for each row when (pg_catalog.current_setting('tokenledger.archiving', true) is distinct from 'on')
  execute function private.mark_changed_rollup();
create or replace trigger mark_changed_rollups_all
  after truncate on public.usage_rollups
  for each statement execute function private.break_seals();
create or replace trigger mark_changed_events_all
  after truncate on public.usage_events
  for each statement execute function private.break_seals();

-- Short conditions, as Postgres reads them anew for every statement: the functions look closer.
create or replace trigger mark_changed_generations
  after update of id, subject_id, input_tokens, output_tokens, uncollected, input_weight, output_weight on public.generations
  for each row when (old.provenance is not null) execute function private.mark_changed_generation();
create or replace trigger mark_changed_generations_later
  after delete on public.generations
  for each row execute function private.mark_changed_generation();
create or replace trigger mark_changed_reservations
  after update of id, subject_id, status, closed_at on public.reservations
  for each row when (old.closed_at is not null) execute function private.mark_changed_reservation();
create or replace trigger mark_changed_corrections
  after insert on public.ledger_entries
  for each row when (new.kind = 'correction')
  execute function private.mark_changed_correction();

-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on public.balances
  for each statement execute function private.refuse_by_hand('call grant_tokens(subject, tokens, ''why''), take_back_tokens(subject, tokens, ''why'') or transfer_tokens(from, to, tokens, ''why'')');
alter table public.balances enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.ledger_entries
  for each statement execute function private.refuse_by_hand('call grant_tokens(subject, tokens, ''why'') or take_back_tokens(subject, tokens, ''why''), which change the balance as well');
alter table public.ledger_entries enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.retired_usage
  for each statement execute function private.refuse_by_hand('keep_seals() keeps the months'' seals, and verify_ledger(true) proves the books without them');
alter table private.retired_usage enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.sealed_months
  for each statement execute function private.refuse_by_hand('keep_seals() keeps the months'' seals, and verify_ledger(true) proves the books without them');
alter table private.sealed_months enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.sealed_events
  for each statement execute function private.refuse_by_hand('keep_seals() keeps the months'' seals, and verify_ledger(true) proves the books without them');
alter table private.sealed_events enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.sealed_rollups
  for each statement execute function private.refuse_by_hand('keep_seals() keeps the months'' seals, and verify_ledger(true) proves the books without them');
alter table private.sealed_rollups enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.sealed_totals
  for each statement execute function private.refuse_by_hand('keep_seals() keeps the months'' seals, and verify_ledger(true) proves the books without them');
alter table private.sealed_totals enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.changed_usage
  for each statement execute function private.refuse_by_hand('keep_seals() keeps the months'' seals, and verify_ledger(true) proves the books without them');
alter table private.changed_usage enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.ledger_checks
  for each statement execute function private.refuse_by_hand('call verify_ledger(), whose results it keeps');
alter table private.ledger_checks enable always trigger by_hand;
