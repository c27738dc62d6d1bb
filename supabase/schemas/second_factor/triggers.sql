-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on private.user_second_factors
  for each statement execute function private.refuse_by_hand('their owners set them up; call remove_person_second_factor(person, ''why'') where one was lost');
alter table private.user_second_factors enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.user_recovery_codes
  for each statement execute function private.refuse_by_hand('they go with their second factor: call remove_person_second_factor(person, ''why'')');
alter table private.user_recovery_codes enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.sign_in_challenges
  for each statement execute function private.refuse_by_hand('they belong to sign-ins under way, and what expired goes by maintain()');
alter table private.sign_in_challenges enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.proved_google_tokens
  for each statement execute function private.refuse_by_hand('end_person_sessions(person) ends them, and what expired goes by maintain()');
alter table private.proved_google_tokens enable always trigger by_hand;
