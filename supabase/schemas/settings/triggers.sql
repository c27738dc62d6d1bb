-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on public.settings
  for each statement execute function private.refuse_by_hand('settings are their person''s, and are written with their versions by push_settings(), put_settings() and restore_settings()');
alter table public.settings enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.settings_entries
  for each statement execute function private.refuse_by_hand('settings are their person''s, and are written with their versions by push_settings(), put_settings() and restore_settings()');
alter table public.settings_entries enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.settings_versions
  for each statement execute function private.refuse_by_hand('settings are their person''s, and are written with their versions by push_settings(), put_settings() and restore_settings()');
alter table public.settings_versions enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.future_changes
  for each statement execute function private.refuse_by_hand('settings are their person''s, and are written with their versions by push_settings(), put_settings() and restore_settings()');
alter table private.future_changes enable always trigger by_hand;
