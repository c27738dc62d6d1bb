-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on private.external_identities
  for each statement execute function private.refuse_by_hand('sign_in_with_provider() links them, and remove_person(person, ''why'') takes them away with the account');
alter table private.external_identities enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.oauth_flows
  for each statement execute function private.refuse_by_hand('they belong to sign-ins under way, and what expired goes by maintain()');
alter table private.oauth_flows enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.oauth_codes
  for each statement execute function private.refuse_by_hand('they belong to sign-ins under way, and what expired goes by maintain()');
alter table private.oauth_codes enable always trigger by_hand;
