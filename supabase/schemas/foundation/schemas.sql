-- Nothing is callable or readable unless it is granted by name.

-- As in every function: names are qualified, and rows that come with the schema are not changed by hand.
set search_path = '';

-- Functions may call each other, so they are created unchecked; "npm run migration" and the tests check them all.
set check_function_bodies = off;

-- Postgres lets everybody execute new functions; only a global revoke changes that default.
alter default privileges revoke execute on functions from public;

-- Supabase grants its API roles everything on new objects in `public`; here grants are explicit.
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke execute on functions from anon, authenticated, service_role;

create schema if not exists private;
revoke all on schema private from public;
comment on schema private is 'Secrets, helpers and partitions. Not exposed by the Data API, granted to no API role.';

create schema if not exists contracts;
revoke all on schema contracts from public;
comment on schema contracts is 'Views under the names of the published contracts'' tables, for dashboards. Not exposed by the Data API, granted to no API role.';

create schema if not exists supabase_migrations;
revoke all on schema supabase_migrations from public;
