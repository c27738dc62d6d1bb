create or replace trigger devices_first_user
  before insert or update of user_id on public.devices
  for each row execute function private.keep_first_user();

create or replace trigger devices_end_credentials
  before update of user_id, token_version on public.devices
  for each row execute function private.end_device_credentials();
