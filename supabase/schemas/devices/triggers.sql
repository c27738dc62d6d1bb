create or replace trigger devices_first_user
  before insert or update of user_id on public.devices
  for each row execute function private.keep_first_user();

create or replace trigger devices_end_credentials
  before update of user_id, token_version on public.devices
  for each row execute function private.end_device_credentials();

-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or delete or truncate on public.devices
  for each statement execute function private.refuse_by_hand('register_device() adds them, remove_device(device, ''why'') takes one away');
alter table public.devices enable always trigger by_hand;

create or replace trigger by_hand_update
  after update on public.devices
  for each row when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand('device', 'id', 'name,blocked', 'name,blocked', 'rotate_device(device) ends its tokens, release_device(device) takes it off its account, remove_device(device, ''why'') takes it away');
alter table public.devices enable always trigger by_hand_update;
