-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on public.feature_events
  for each statement execute function private.refuse_by_hand('they are written together by record_features() and go with retention, by maintain()');
alter table public.feature_events enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.feature_rollups
  for each statement execute function private.refuse_by_hand('they are written together by record_features() and go with retention, by maintain()');
alter table public.feature_rollups enable always trigger by_hand;
