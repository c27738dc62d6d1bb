create or replace function private.usage_partitions()
returns table (name text, lower_bound timestamptz)
language sql stable set search_path = ''
as $$
  select c.relname::text,
         to_timestamp(right(c.relname, 7), 'YYYY_MM')::timestamp at time zone 'UTC'
    from pg_catalog.pg_inherits i
    join pg_catalog.pg_class c on c.oid = i.inhrelid
   where i.inhparent = 'public.usage_events'::regclass
$$;
comment on function private.usage_partitions() is 'Returns the months there are partitions of usage_events for, with their start (UTC).';
