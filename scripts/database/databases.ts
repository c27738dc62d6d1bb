import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { StartupError } from '../../src/config/startup-error.js';
import { openCluster } from '../../src/platform/database/embedded/cluster.js';
import { SUPABASE_DIRECTORY } from '../../src/platform/database/migrations/migration-files.js';
import { migrate } from '../../src/platform/database/migrations/migrations.js';
import { makePoliciesRepeatable, readSchemaFiles, type SchemaFile } from './schema-files.js';

/** Runs a body with a Postgres that is thrown away after it. */
export async function withThrowawayCluster<T>(body: (adminUrl: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'tokenledger-migration-'));
  const password = randomBytes(24).toString('base64url');
  try {
    const cluster = await openCluster({ directory: join(directory, 'postgres'), password, settings: ['fsync=off'] });
    try {
      return await body(cluster.adminUrl);
    } finally {
      await cluster.stop();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Runs SQL in a database of its own connection. */
export async function runSql(connectionString: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

/** Makes an empty database in a cluster and returns its connection string. */
export async function createDatabase(adminUrl: string, name: string): Promise<string> {
  await runSql(adminUrl, `create database ${pg.escapeIdentifier(name)} template template0`);
  const url = new URL(adminUrl);
  url.pathname = name;
  return url.href;
}

/** Has Postgres check every function's body, which it did not when it was created. */
const CHECK_FUNCTIONS = `
  do $check$
  declare
    v_function record;
  begin
    for v_function in
      select p.oid, p.oid::regprocedure::text as name
        from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
       where n.nspname in ('public', 'private') and p.prokind = 'f'
         and not exists (select from pg_catalog.pg_depend d where d.objid = p.oid and d.deptype = 'e')
    loop
      begin
        execute pg_catalog.pg_get_functiondef(v_function.oid);
      exception when others then
        raise exception '%: %', v_function.name, sqlerrm using errcode = sqlstate;
      end;
    end loop;
  end
  $check$`;

/** Loads the files in one transaction, as pasting or migrating would. @throws {StartupError} with the file's name */
async function loadSchemaFiles(client: pg.Client, files: readonly SchemaFile[]): Promise<void> {
  await client.query('begin');
  for (const { path, sql } of files) {
    await client.query(makePoliciesRepeatable(sql)).catch((error: unknown) => {
      throw new StartupError(`supabase/${path} is not valid: ${firstLine(error)}`, { cause: error });
    });
  }
  await client.query('reset check_function_bodies; reset search_path; commit;');
  await client.query(CHECK_FUNCTIONS).catch((error: unknown) => {
    throw new StartupError(`supabase/schemas is not valid: ${firstLine(error)}`, { cause: error });
  });
}

const firstLine = (error: unknown) => String(error instanceof Error ? error.message : error).split('\n')[0];

/**
 * Makes a database from `schemas/` and checks the bodies of its functions.
 *
 * @returns its connection string
 * @throws {StartupError} where a file of `schemas/` is not valid
 */
export async function createDeclaredDatabase(adminUrl: string, name: string, directory: string): Promise<string> {
  const files = await readSchemaFiles(directory);
  const connectionString = await createDatabase(adminUrl, name);
  await runSql(connectionString, await readFile(join(SUPABASE_DIRECTORY, 'platform.sql'), 'utf8'));
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await loadSchemaFiles(client, files);
  } finally {
    await client.end();
  }
  return connectionString;
}

/** Makes a database from `migrations/` and returns its connection string. */
export async function createMigratedDatabase(adminUrl: string, name: string, directory: string): Promise<string> {
  const url = await createDatabase(adminUrl, name);
  await migrate(url, directory);
  return url;
}
