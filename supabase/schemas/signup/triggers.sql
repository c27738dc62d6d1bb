-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on private.secrets
  for each statement execute function private.refuse_by_hand('identity_digest() knows by it who was paid first tokens: with another, everybody would be paid again');
alter table private.secrets enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.granted_identities
  for each statement execute function private.refuse_by_hand('call verify_person(person, tokens) or grant_tokens(person, tokens, ''why'') to pay somebody once more');
alter table private.granted_identities enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.email_verifications
  for each statement execute function private.refuse_by_hand('call verify_person(person) to prove an address; what expired goes by maintain()');
alter table private.email_verifications enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.email_changes
  for each statement execute function private.refuse_by_hand('call verify_person(person) to prove an address; what expired goes by maintain()');
alter table private.email_changes enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.invitations
  for each statement execute function private.refuse_by_hand('admins make and take them back with create_invitation() and delete_invitation(); add_person(''ada@example.com'') needs none');
alter table private.invitations enable always trigger by_hand;
