import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { PROJECT_ROOT } from '../../project-root.js';

const SUPABASE = join(PROJECT_ROOT, 'supabase');

export interface Migration {
  /** UTC timestamp the file name starts with; migrations run in its order. */
  readonly version: string;
  readonly name: string;
  readonly sql: string;
}

/** The project's migrations, oldest first. */
export async function readMigrations(): Promise<Migration[]> {
  const files = (await readdir(join(SUPABASE, 'migrations'))).filter((file) => file.endsWith('.sql')).sort();
  return Promise.all(
    files.map(async (file) => {
      const [version = '', name = ''] = file.replace(/\.sql$/, '').split(/_(.*)/);
      return { version, name, sql: await readFile(join(SUPABASE, 'migrations', file), 'utf8') };
    }),
  );
}

async function newestVersion(): Promise<string> {
  return (await readMigrations()).at(-1)?.version ?? '';
}
let expectedVersion: Promise<string> | undefined;

/** The version a database must be at for this program. */
export function expectedSchemaVersion(): Promise<string> {
  // The files do not change under a running program, and readiness is asked often.
  expectedVersion ??= newestVersion();
  return expectedVersion;
}

async function appliedVersions(client: pg.Client): Promise<Set<string>> {
  const { rows: found } = await client.query(`select to_regclass('supabase_migrations.schema_migrations') as name`);
  if (found[0]?.name == null) return new Set();
  const { rows } = await client.query<{ version: string }>('select version from supabase_migrations.schema_migrations');
  return new Set(rows.map(({ version }) => version));
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  try {
    await client.query('begin');
    await client.query(migration.sql);
    await client.query('insert into supabase_migrations.schema_migrations (version, name) values ($1, $2)', [
      migration.version,
      migration.name,
    ]);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw new Error(`migration ${migration.version}_${migration.name} failed`, { cause: error });
  }
}

/**
 * Brings a database up to date: what Supabase would provide where it is missing, then the migrations not yet
 * recorded, each in a transaction. Concurrent runs wait for each other. The record is the table
 * `supabase db push` keeps, so both ways to migrate can be mixed.
 *
 * @param connectionString a role that may create schemas (postgres on Supabase)
 * @returns the versions applied now
 */
export async function migrate(connectionString: string): Promise<string[]> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await client.query(`select pg_advisory_lock(hashtext('tokenledger migrations'))`);
    await client.query(await readFile(join(SUPABASE, 'platform.sql'), 'utf8'));
    const applied = await appliedVersions(client);
    const pending = (await readMigrations()).filter(({ version }) => !applied.has(version));
    for (const migration of pending) await apply(client, migration);
    // PostgREST, where it runs, reads the changed functions again.
    await client.query(`notify pgrst, 'reload schema'`);
    return pending.map(({ version }) => version);
  } finally {
    await client.end();
  }
}
