-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or truncate on private.sessions
  for each statement execute function private.refuse_by_hand('log-ins make them; delete single rows to end them, or call end_person_sessions(person)');
alter table private.sessions enable always trigger by_hand;

create or replace trigger by_hand_delete
  after delete on private.sessions
  for each row when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand('user', 'user_id', '', 'id,created_at');
alter table private.sessions enable always trigger by_hand_delete;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.refresh_tokens
  for each statement execute function private.refuse_by_hand('they go with their session: call end_person_sessions(person)', 'cascade');
alter table private.refresh_tokens enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.proof_codes
  for each statement execute function private.refuse_by_hand('they go with their session: call end_person_sessions(person)', 'cascade');
alter table private.proof_codes enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or truncate on private.login_attempts
  for each statement execute function private.refuse_by_hand('they are counted by count_attempt() and login_succeeded(); delete rows to let somebody try again');
alter table private.login_attempts enable always trigger by_hand;

create or replace trigger by_hand_delete
  before delete on private.login_attempts
  for each statement when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand();
alter table private.login_attempts enable always trigger by_hand_delete;

create or replace trigger by_hand
  before insert or update or truncate on private.known_addresses
  for each statement execute function private.refuse_by_hand('they are counted by count_attempt() and login_succeeded(); delete rows to let somebody try again');
alter table private.known_addresses enable always trigger by_hand;

create or replace trigger by_hand_delete
  before delete on private.known_addresses
  for each statement when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand();
alter table private.known_addresses enable always trigger by_hand_delete;
