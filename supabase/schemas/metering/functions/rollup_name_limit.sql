create or replace function private.rollup_name_limit()
returns integer
language sql immutable set search_path = ''
as $$
  select 100
$$;
comment on function private.rollup_name_limit() is 'Returns how many models of one subject and day (UTC) the rollups tell apart.';
