-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on public.tracker_counters
  for each statement execute function private.refuse_by_hand('they are the sums of what track_usage() recorded; change_tracker() sets them right for an admin');
alter table public.tracker_counters enable always trigger by_hand;
