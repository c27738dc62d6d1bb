create or replace trigger audit_log_append_only
  before update or delete or truncate on public.audit_log
  for each statement execute function private.refuse_change('what grant_tokens(), block_device() and their kind wrote down stays');

-- What by hand may do, see private.refuse_by_hand(): also while session_replication_role is replica.
create or replace trigger by_hand
  before insert or update or delete or truncate on private.admins
  for each statement execute function private.refuse_by_hand('call manage_admin(''remove'', username), as npm run admin does, which adds admins and sets passwords as well');
alter table private.admins enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or truncate on private.admin_sessions
  for each statement execute function private.refuse_by_hand('log-ins make them (finish_admin_login()); delete single rows to end them');
alter table private.admin_sessions enable always trigger by_hand;

create or replace trigger by_hand_delete
  after delete on private.admin_sessions
  for each row when (pg_catalog.current_setting('search_path') not in ('', '""'))
  execute function private.record_by_hand('admin_session', 'id', '', 'admin_id,created_at');
alter table private.admin_sessions enable always trigger by_hand_delete;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.admin_second_factors
  for each statement execute function private.refuse_by_hand('call manage_admin(''reset-2fa'', username), as npm run admin does');
alter table private.admin_second_factors enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.admin_recovery_codes
  for each statement execute function private.refuse_by_hand('call manage_admin(''reset-2fa'', username), as npm run admin does');
alter table private.admin_recovery_codes enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on public.audit_log
  for each statement execute function private.refuse_by_hand('its lines are written by what they tell of, such as grant_tokens() and block_device()');
alter table public.audit_log enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.bulk_changes
  for each statement execute function private.refuse_by_hand('call begin_bulk_change(), as the admin API does; maintain() removes old ones');
alter table private.bulk_changes enable always trigger by_hand;

create or replace trigger by_hand
  before insert or update or delete or truncate on private.bulk_chunks
  for each statement execute function private.refuse_by_hand('continue_bulk_change() does them, one after the other', 'cascade');
alter table private.bulk_chunks enable always trigger by_hand;
