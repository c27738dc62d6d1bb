-- Definer: the server may ask which migrations ran, but no API role may read the tables that record them.
create or replace function public.applied_migrations()
returns table (version text, sha256 text)
language sql stable security definer set search_path = ''
as $$
  select m.version, coalesce(c.sha256, '')
    from supabase_migrations.schema_migrations m
    left join private.migration_checksums c on c.version = m.version
   order by m.version
$$;
grant execute on function public.applied_migrations() to service_role;
comment on function public.applied_migrations() is
  'Returns the migrations recorded as applied, with the SHA-256 of the text each ran with; empty where it was recorded without having run. The server compares them with its own at start and on /readyz.';
