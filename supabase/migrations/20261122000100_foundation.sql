-- Foundation: nothing is callable or readable unless a later migration grants it by name.

-- Postgres lets everybody execute new functions; only a global revoke changes that default.
alter default privileges revoke execute on functions from public;

-- Supabase grants its API roles everything on new objects in `public`; here grants are explicit.
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke execute on functions from anon, authenticated, service_role;

create schema if not exists private;
comment on schema private is 'Secrets, helpers and partitions. Not exposed by the Data API, granted to no API role.';
revoke all on schema private from public;

-- The table `supabase db push` keeps its versions in; created here for every other way to migrate.
create schema if not exists supabase_migrations;
revoke all on schema supabase_migrations from public;
create table if not exists supabase_migrations.schema_migrations (
  version text primary key,
  statements text[],
  name text
);

create or replace function public.schema_version()
returns text
language sql stable security definer set search_path = ''
as $$ select max(version) from supabase_migrations.schema_migrations $$;
-- Definer: the server may ask which migrations ran without access to the schema that records them.
revoke all on function public.schema_version() from public, anon, authenticated, service_role;
grant execute on function public.schema_version() to service_role;
comment on function public.schema_version() is
  'The newest applied migration. The server compares it with its own at start and on /readyz.';
