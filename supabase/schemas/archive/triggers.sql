-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on private.archived_events
  for each statement execute function private.refuse_by_hand('months that are over are packed by archive_month(), and thawed by whatever changes something in them');
alter table private.archived_events enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.archived_rollups
  for each statement execute function private.refuse_by_hand('months that are over are packed by archive_month(), and thawed by whatever changes something in them');
alter table private.archived_rollups enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.archived_months
  for each statement execute function private.refuse_by_hand('months that are over are packed by archive_month(), and thawed by whatever changes something in them');
alter table private.archived_months enable always trigger by_hand;
