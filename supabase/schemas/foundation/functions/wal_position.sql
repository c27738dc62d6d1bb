create or replace function private.wal_position()
returns numeric
language sql stable set search_path = ''
as $$
  select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end - '0/0'::pg_lsn
$$;
comment on function private.wal_position() is
  'Returns how far the log of changes was written, or on a standby replayed, in bytes: a standby that is as far as its primary was has every change committed by then.';
