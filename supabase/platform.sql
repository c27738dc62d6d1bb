-- What Supabase brings and plain Postgres lacks: the API roles, the schemas `auth` and `extensions`,
-- and the claim functions row-level security policies read. Run by the server before the migrations
-- on an embedded or plain Postgres; on a Supabase project every statement here finds its object
-- present and changes nothing.

-- Roles belong to the whole cluster: another database of it may create them between our look and our try.
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'anon') then
    create role anon nologin noinherit;
  end if;
exception when duplicate_object or unique_violation then null;
end
$$;
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'authenticated') then
    create role authenticated nologin noinherit;
  end if;
exception when duplicate_object or unique_violation then null;
end
$$;
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'service_role') then
    create role service_role nologin noinherit bypassrls;
  end if;
exception when duplicate_object or unique_violation then null;
end
$$;
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'authenticator') then
    create role authenticator login noinherit;
    grant anon, authenticated, service_role to authenticator;
  end if;
exception when duplicate_object or unique_violation then null;
end
$$;

-- The server's own calls need no `set role`, where Postgres can say so of one role by itself (from 16 on): the login role may
-- become service_role anyway. And no statement of it runs for ever. A hosted Supabase has its own settings of these.
do $$
begin
  if exists (select from pg_catalog.pg_roles where rolname = 'supabase_admin') then
    return;
  end if;
  if current_setting('server_version_num')::integer >= 160000
     and not pg_has_role('authenticator', 'service_role', 'usage') then
    execute 'grant service_role to authenticator with inherit true';
  end if;
  if not exists (
    select from pg_catalog.pg_db_role_setting s
      join pg_catalog.pg_roles r on r.oid = s.setrole and r.rolname = 'authenticator'
     where array_to_string(s.setconfig, ',') like '%statement_timeout=%'
  ) then
    alter role authenticator set statement_timeout = '10s';
  end if;
-- Another database of the cluster may do so at the same moment; and not every owner of a database may change roles.
exception when insufficient_privilege or internal_error then null;
end
$$;

create schema if not exists auth;
create schema if not exists extensions;
grant usage on schema auth, extensions to anon, authenticated, service_role;

do $$
begin
  if to_regprocedure('auth.jwt()') is null then
    create function auth.jwt() returns jsonb
    language sql stable set search_path = ''
    as $body$
      select coalesce(nullif(pg_catalog.current_setting('request.jwt.claims', true), ''), '{}')::jsonb
    $body$;
    comment on function auth.jwt() is 'The verified claims of the request''s token, {} without one.';
  end if;
  if to_regprocedure('auth.uid()') is null then
    create function auth.uid() returns uuid
    language sql stable set search_path = ''
    as $body$ select (auth.jwt() ->> 'sub')::uuid $body$;
    comment on function auth.uid() is 'The calling user''s id, null without one.';
  end if;
  if to_regprocedure('auth.role()') is null then
    create function auth.role() returns text
    language sql stable set search_path = ''
    as $body$ select auth.jwt() ->> 'role' $body$;
    comment on function auth.role() is 'The role of the request''s token.';
  end if;
end
$$;
