import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { Test } from 'tap';
import { runSql } from '../../../scripts/database/databases.js';
import { openCluster } from '../../../src/platform/database/embedded/cluster.js';
import { FAST_SETTINGS } from './template.js';
import type { TestDatabase } from './test-database.js';

/** The login role of a project's people: owns the database, and is no superuser. */
const demoteOwner = (password: string) => `
  alter role postgres rename to supabase_admin;
  create role postgres login createdb createrole replication bypassrls password '${password}';
  alter database postgres owner to postgres;
  grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres`;

const makeRoles = (password: string) => `
  create role anon nologin;
  create role authenticated nologin;
  create role service_role nologin bypassrls;
  create role authenticator login noinherit password '${password}';
  create role supabase_auth_admin login noinherit createrole;
  create role supabase_storage_admin login noinherit createrole;
  create role dashboard_user nologin createdb createrole replication;
  grant anon, authenticated, service_role to authenticator;
  grant anon, authenticated, service_role to postgres with admin option;
  alter role anon set statement_timeout = '3s';
  alter role authenticated set statement_timeout = '8s';
  alter role authenticator set statement_timeout = '8s';
  alter role authenticator set lock_timeout = '8s';
  alter role postgres set search_path = "$user", public, extensions`;

/** Schemas of other owners, in which the owner of the database makes nothing. */
const MAKE_SCHEMAS = `
  create schema extensions authorization postgres;
  create schema auth authorization supabase_admin;
  create schema storage authorization supabase_admin;
  create schema realtime authorization supabase_admin;
  create schema graphql_public authorization supabase_admin;
  grant usage on schema auth, storage, extensions, graphql_public, public to postgres, anon, authenticated, service_role;
  grant all on schema auth to supabase_auth_admin;
  create table auth.users (id uuid primary key, email text);
  create function auth.jwt() returns jsonb language sql stable
    as $$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;
  create function auth.uid() returns uuid language sql stable as $$ select (auth.jwt() ->> 'sub')::uuid $$;
  create function auth.role() returns text language sql stable as $$ select auth.jwt() ->> 'role' $$;
  alter table auth.users owner to supabase_auth_admin;
  alter function auth.jwt() owner to supabase_auth_admin;
  alter function auth.uid() owner to supabase_auth_admin;
  alter function auth.role() owner to supabase_auth_admin`;

const GRANT_EVERYTHING_NEW = ['postgres', 'supabase_admin']
  .flatMap((owner) =>
    ['tables', 'sequences', 'functions'].map(
      (kind) =>
        `alter default privileges for role ${owner} in schema public
           grant all on ${kind} to postgres, anon, authenticated, service_role`,
    ),
  )
  .join(';');

/** What tells PostgREST to look again, in the name of a role that our statements do not have. */
const WATCH_CHANGES = `
  create function extensions.watch_changes() returns event_trigger language plpgsql
    as $$ begin
      perform from pg_event_trigger_ddl_commands();
      notify pgrst, 'reload schema';
    end $$;
  create function extensions.watch_drops() returns event_trigger language plpgsql
    as $$ begin
      perform from pg_event_trigger_dropped_objects();
      notify pgrst, 'reload schema';
    end $$;
  create event trigger watch_changes on ddl_command_end execute function extensions.watch_changes();
  create event trigger watch_drops on sql_drop execute function extensions.watch_drops()`;

/** A Postgres with the roles, owners, schemas and grants of a hosted Supabase project. */
export interface HostedSupabase extends TestDatabase {
  /** Connection string of `supabase_admin`, whom only Supabase itself has: `adminUrl` is of `postgres`. */
  readonly superuserUrl: string;
}

/** Starts a Postgres that is set up as a hosted Supabase project, with nothing of ours in it; it ends with the test. */
export async function openHostedSupabase(t: Test): Promise<HostedSupabase> {
  const parent = await mkdtemp(join(tmpdir(), 'tokenledger-test-'));
  const password = randomBytes(24).toString('base64url');
  const cluster = await openCluster({ directory: join(parent, 'postgres'), password, settings: FAST_SETTINGS });
  t.after(async () => {
    await cluster.stop();
    await rm(parent, { recursive: true, force: true });
  });
  const as = (role: string) => cluster.adminUrl.replace('//postgres:', `//${role}:`);
  await runSql(cluster.adminUrl, `create role maker superuser login password '${password}'`);
  await runSql(as('maker'), demoteOwner(password));
  const superuserUrl = as('supabase_admin');
  for (const statements of [makeRoles(password), MAKE_SCHEMAS, GRANT_EVERYTHING_NEW, WATCH_CHANGES]) {
    await runSql(superuserUrl, statements);
  }
  const pool = new pg.Pool({ connectionString: superuserUrl, max: 2, allowExitOnIdle: true });
  pool.on('error', () => {});
  t.after(() => pool.end());
  return {
    name: 'postgres',
    adminUrl: cluster.adminUrl,
    serverUrl: cluster.adminUrl,
    superuserUrl,
    sql: async (text, values) => (await pool.query(text, values)).rows,
  };
}
