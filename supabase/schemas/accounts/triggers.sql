-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or delete or truncate on public.users
  for each statement execute function private.refuse_by_hand('call add_person(''ada@example.com'') or remove_person(person, ''why'')');
alter table public.users enable always trigger by_hand;

create or replace trigger by_hand_update
  after update on public.users
  for each row when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand('user', 'id', 'name,picture,suspended_at,updated_at', 'suspended_at', 'verify_person(person) proves an address, suspend_person(person) and resume_person(person) say who may go on');
alter table public.users enable always trigger by_hand_update;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.user_credentials
  for each statement execute function private.refuse_by_hand('passwords are set by reset_password() and change_password(), which end what the old one had opened; end_person_sessions(person, true) ends that at once');
alter table private.user_credentials enable always trigger by_hand;
