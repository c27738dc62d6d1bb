-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on private.password_resets
  for each statement execute function private.refuse_by_hand('request_password_reset() makes them, and what expired goes by maintain()');
alter table private.password_resets enable always trigger by_hand;
