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
