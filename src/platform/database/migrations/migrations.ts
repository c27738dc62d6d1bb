import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { StartupError } from '../../../config/startup-error.js';
import { type AppliedMigration, compareMigrations } from './compare.js';
import { type Migration, readMigrations, SUPABASE_DIRECTORY } from './migration-files.js';

/** Lists what is recorded, also by versions before the first release, which kept no checksums. */
export async function readApplied(client: pg.Client): Promise<AppliedMigration[]> {
  const { rows: tables } = await client.query<{ versions: string | null; checksums: string | null }>(
    `select to_regclass('supabase_migrations.schema_migrations') as versions,
            to_regclass('private.migration_checksums') as checksums`,
  );
  if (tables[0]?.versions == null) return [];
  const checksums = tables[0].checksums ?? '(select null::text as version, null::text as sha256)';
  const { rows } = await client.query<AppliedMigration>(
    `select m.version, coalesce(c.sha256, '') as sha256
       from supabase_migrations.schema_migrations m left join ${checksums} c on c.version = m.version`,
  );
  return rows;
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

const INSUFFICIENT_PRIVILEGE = '42501';
const READ_ONLY = '25006';

/** Makes what Supabase brings and this database lacks. @throws {StartupError} where the role may not */
async function providePlatform(client: pg.Client): Promise<void> {
  const sql = await readFile(join(SUPABASE_DIRECTORY, 'platform.sql'), 'utf8');
  await client.query(sql).catch((error: unknown) => {
    if (error instanceof pg.DatabaseError && error.code === READ_ONLY) {
      throw new StartupError(
        'The database is read-only: it was moved with "npm run move", its disk is full, or it is a standby',
        { cause: error },
      );
    }
    if (!(error instanceof pg.DatabaseError) || error.code !== INSUFFICIENT_PRIVILEGE) throw error;
    throw new StartupError(
      `The user of DATABASE_URL may not make the roles and schemas this server needs (${error.message}): migrate as one who may`,
      { cause: error },
    );
  });
}

/**
 * Brings a database up to date: what Supabase would provide where it is missing, then the migrations not yet
 * recorded, each in a transaction. Concurrent runs wait for each other. The record is the table
 * `supabase db push` keeps, so both ways to migrate can be mixed.
 *
 * @param connectionString a role that may create schemas (postgres on Supabase)
 * @param directory holds the folder `migrations` and its manifest
 * @param newest leaves out migrations after this version
 * @returns the versions applied now
 * @throws {StartupError} where a migration's file is not as the manifest says, the database has other ones, or the role
 *   may not do this
 */
export async function migrate(
  connectionString: string,
  directory = SUPABASE_DIRECTORY,
  newest?: string,
): Promise<string[]> {
  const all = await readMigrations(directory);
  const migrations = newest === undefined ? all : all.filter(({ version }) => version <= newest);
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await client.query(`select pg_advisory_lock(hashtext('tokenledger migrations'))`);
    // A statement of its own after the lock: its look at the catalogue sees what the run before this one committed.
    const { pending, conflicts } = compareMigrations(migrations, await readApplied(client));
    if (conflicts.length > 0) throw new StartupError(conflicts.join('\n'));
    await providePlatform(client);
    for (const migration of pending) await apply(client, migration);
    // PostgREST, where it runs, reads the changed functions again.
    await client.query(`notify pgrst, 'reload schema'`);
    return pending.map(({ version }) => version);
  } finally {
    await client.end();
  }
}
