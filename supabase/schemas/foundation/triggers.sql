-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on private.migration_checksums
  for each statement execute function private.refuse_by_hand('every migration notes itself with record_migration()');
alter table private.migration_checksums enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.server_secrets
  for each statement execute function private.refuse_by_hand('every server notes its own with note_server_secrets() each minute, and what is an hour old goes by itself');
alter table private.server_secrets enable always trigger by_hand;
