import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { StartupError } from '../../../config/startup-error.js';
import { type AppliedMigration, compareMigrations } from './compare.js';
import { LOCK_TIMEOUT, type LockWaits, withPatience } from './lock-patience.js';
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

/**
 * Runs one step of migrating in a transaction of its own, while nobody else runs one. The lock ends with the transaction:
 * through a pooler a session's lock would stay behind in a session that others are given.
 */
async function inTurn<T>(client: pg.Client, step: () => Promise<T>): Promise<T> {
  try {
    await client.query('begin');
    // A statement of its own: what looks at the catalogue after it sees what the run before this one committed.
    await client.query(`select pg_advisory_xact_lock(hashtext('tokenledger migrations'))`);
    await client.query(`set local lock_timeout = '${LOCK_TIMEOUT}'`);
    const result = await step();
    await client.query('commit');
    return result;
  } catch (error) {
    // Where the connection is gone, the reason is what matters.
    await client.query('rollback').catch(() => {});
    throw error;
  }
}

/** Lists what is to be applied. @throws {StartupError} where the database has other migrations */
async function findPending(client: pg.Client, migrations: readonly Migration[]): Promise<readonly Migration[]> {
  const { pending, conflicts } = compareMigrations(migrations, await readApplied(client));
  if (conflicts.length > 0) throw new StartupError(conflicts.join('\n'));
  return pending;
}

/** Applies the next migration, within a transaction; returns undefined where there is none. */
async function applyNext(client: pg.Client, migrations: readonly Migration[]): Promise<string | undefined> {
  const [migration] = await findPending(client, migrations);
  if (migration === undefined) return undefined;
  const { version, name, sql } = migration;
  try {
    await client.query(sql);
    await client.query('insert into supabase_migrations.schema_migrations (version, name) values ($1, $2)', [
      version,
      name,
    ]);
  } catch (error) {
    throw new Error(`migration ${version}_${name} failed`, { cause: error });
  }
  return version;
}

const INSUFFICIENT_PRIVILEGE = '42501';
const READ_ONLY = '25006';

/** Rejects a standby. @throws {StartupError} with what to do instead */
async function requirePrimary(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ is_standby: boolean }>('select pg_is_in_recovery() as is_standby');
  if (rows[0]?.is_standby !== true) return;
  throw new StartupError(
    'DATABASE_URL is a standby (read replica), which takes no writes: name the primary there, and the standby in DATABASE_READ_URL',
  );
}

/** Makes what Supabase brings and this database lacks. @throws {StartupError} where the role may not */
async function providePlatform(client: pg.Client): Promise<void> {
  const sql = await readFile(join(SUPABASE_DIRECTORY, 'platform.sql'), 'utf8');
  await client.query(sql).catch((error: unknown) => {
    if (error instanceof pg.DatabaseError && error.code === READ_ONLY) {
      throw new StartupError('The database is read-only: it was moved with "npm run move", or its disk is full', {
        cause: error,
      });
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
 * recorded, each in a transaction. Concurrent runs take turns, one migration after the other. The record is the table
 * `supabase db push` keeps, so both ways to migrate can be mixed.
 *
 * @param connectionString a role that may create schemas (postgres on Supabase)
 * @param directory holds the folder `migrations` and its manifest
 * @param newest leaves out migrations after this version
 * @param waits how long to go on where others keep a table, and who is told meanwhile
 * @returns the versions applied now
 * @throws {StartupError} where a migration's file is not as the manifest says, the database has other ones, the role may
 *   not do this, it is a standby, or others keep a table for too long
 */
export async function migrate(
  connectionString: string,
  directory = SUPABASE_DIRECTORY,
  newest?: string,
  waits: LockWaits = {},
): Promise<string[]> {
  const all = await readMigrations(directory);
  const migrations = newest === undefined ? all : all.filter(({ version }) => version <= newest);
  const client = new pg.Client({ connectionString });
  // What is asked then fails, and says why.
  client.on('error', () => {});
  await client.connect();
  const step = <T>(work: () => Promise<T>) => withPatience(client, waits, () => inTurn(client, work));
  try {
    await requirePrimary(client);
    await step(async () => {
      await findPending(client, migrations);
      await providePlatform(client);
    });
    const applied: string[] = [];
    for (;;) {
      const version = await step(() => applyNext(client, migrations));
      if (version === undefined) break;
      applied.push(version);
    }
    // PostgREST, where it runs, reads the changed functions again.
    await client.query(`notify pgrst, 'reload schema'`);
    return applied;
  } finally {
    await client.end();
  }
}
