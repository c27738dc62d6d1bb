create or replace function private.epoch_ms()
returns bigint
language sql volatile set search_path = ''
as $$ select floor(extract(epoch from clock_timestamp()) * 1000)::bigint $$;
comment on function private.epoch_ms() is
  'Returns this moment in milliseconds since 1970; not the transaction''s start, which may lie before a wait for a lock.';
