-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or truncate on private.api_keys
  for each statement execute function private.refuse_by_hand('create_api_key() makes them; delete single rows to end them, or call end_person_sessions(person, true)');
alter table private.api_keys enable always trigger by_hand;

create or replace trigger by_hand_delete
  after delete on private.api_keys
  for each row when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand('user', 'user_id', '', 'id,prefix,scopes');
alter table private.api_keys enable always trigger by_hand_delete;
