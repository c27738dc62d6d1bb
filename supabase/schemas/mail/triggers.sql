-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on private.mails
  for each statement execute function private.refuse_by_hand('mails are dropped with what they are about, such as remove_person(person, ''why''), and what expired by maintain()');
alter table private.mails enable always trigger by_hand;
