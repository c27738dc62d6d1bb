import pg from 'pg';
import { StartupError } from '../../src/config/startup-error.js';
import { compareMigrations } from '../../src/platform/database/migrations/compare.js';
import { readMigrations, SUPABASE_DIRECTORY } from '../../src/platform/database/migrations/migration-files.js';
import { migrate, readApplied } from '../../src/platform/database/migrations/migrations.js';
import { openOwnSession } from './session.js';
import { type Contents, describeDiscrepancies, listTables, proveBooks, type TableColumns } from './tables.js';

/** What rows say that somebody depends on a database. */
const TELLING_TABLES = [
  'public.users',
  'public.devices',
  'public.ledger_entries',
  'public.usage_events',
  'public.audit_log',
  'private.admins',
] as const;
const INSUFFICIENT_PRIVILEGE = '42501';

/** How a database is filled. */
export interface LoadPlan<Table extends TableColumns> {
  readonly contents: Omit<Contents, 'tables' | 'postgres'> & { readonly tables: readonly Table[] };
  /** Writes the rows of a table. */
  readonly load: (client: pg.Client, table: Table) => Promise<void>;
  /** Looks at the filled database before it is kept. @throws where it must not be */
  readonly inspect: (client: pg.Client) => Promise<void>;
  /** Whether rows that are there give way. */
  readonly replace: boolean;
  /** Whether books that do not add up are kept all the same. */
  readonly unproved: boolean;
}

/** Returns the newest of the migrations that rows were written under. @throws {StartupError} where this program lacks one */
async function findNewest(migrations: Contents['migrations']): Promise<string> {
  const { conflicts } = compareMigrations(await readMigrations(), migrations);
  if (conflicts.length > 0) throw new StartupError(conflicts.join('\n'));
  return migrations.reduce((newest, { version }) => (version > newest ? version : newest), '');
}

/** Brings a database to the migrations the rows were written under. @throws {StartupError} where it is beyond them */
async function prepareTarget(url: string, newest: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    const beyond = (await readApplied(client)).filter(({ version }) => version > newest);
    if (beyond.length > 0) {
      throw new StartupError(
        'The database there has later migrations than the backup: choose a new, empty database; later migrations are applied after the rows are in',
      );
    }
  } finally {
    await client.end();
  }
  await migrate(url, SUPABASE_DIRECTORY, newest);
}

async function refuseTaken(client: pg.Client): Promise<void> {
  for (const table of TELLING_TABLES) {
    const { rowCount } = await client.query(`select from ${table} limit 1`);
    if (rowCount !== 0) {
      throw new StartupError(
        `The database there is in use (${table} has rows): choose an empty one, or say --replace to lose what it holds`,
      );
    }
  }
}

/** Statements that make triggers fire in every mode again, which enabling all of a table's takes from them. */
const ALWAYS_FIRING = `
  select format('alter table %s enable always trigger %I', g.tgrelid::regclass, g.tgname) as statement
    from pg_trigger g join pg_class c on c.oid = g.tgrelid
   where g.tgenabled = 'A' and not g.tgisinternal and c.relnamespace::regnamespace::text in ('public', 'private')`;

/** Keeps triggers from firing until the transaction ends, and returns what lets them again. */
async function silenceTriggers(client: pg.Client, tables: readonly TableColumns[]): Promise<() => Promise<void>> {
  await client.query('savepoint replica');
  try {
    await client.query('set local session_replication_role = replica');
    return async () => {
      await client.query('set local session_replication_role = origin');
    };
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== INSUFFICIENT_PRIVILEGE) throw error;
  }
  await client.query('rollback to savepoint replica');
  const { rows: always } = await client.query<{ statement: string }>(ALWAYS_FIRING);
  for (const { name } of tables) await client.query(`alter table ${name} disable trigger user`);
  return async () => {
    for (const { name } of tables) await client.query(`alter table ${name} enable trigger user`);
    for (const { statement } of always) await client.query(statement);
  };
}

/** Refuses tables or columns the database does not have, as their names become part of statements. */
async function requireSameTables(client: pg.Client, tables: readonly TableColumns[]): Promise<void> {
  const name = (table: TableColumns) => `${table.name} (${[...table.columns].sort().join(', ')})`;
  const known = new Set((await listTables(client)).map(name));
  const wrong = tables.map(name).find((table) => !known.has(table));
  if (wrong !== undefined || tables.length !== known.size) {
    throw new StartupError(`The rows do not fit the tables of the database there${wrong ? `: ${wrong}` : ''}`);
  }
}

async function fill<Table extends TableColumns>(client: pg.Client, plan: LoadPlan<Table>): Promise<void> {
  const { tables, months, sequences } = plan.contents;
  const names = tables.map(({ name }) => name).join(', ');
  await client.query(`begin; lock table ${names} in access exclusive mode`);
  if (!plan.replace) await refuseTaken(client);
  for (const month of months) {
    await client.query(`select private.ensure_usage_partition($1::timestamp at time zone 'UTC')`, [month]);
  }
  const allowTriggers = await silenceTriggers(client, tables);
  await client.query(`truncate ${names}`);
  for (const table of tables) await plan.load(client, table);
  await allowTriggers();
  for (const { name, value, called } of sequences) {
    await client.query('select setval($1, $2, $3)', [name, value, called]);
  }
  // Without it the checks below plan for empty tables.
  await client.query(`analyze ${names}`);
  await plan.inspect(client);
  const wrong = describeDiscrepancies(await proveBooks(client));
  if (wrong !== '' && !plan.unproved) {
    throw new StartupError(
      `The books do not add up, so nothing was kept; --unproved keeps them as they are:\n${wrong}`,
    );
  }
  await client.query('commit');
}

/**
 * Fills a database in one transaction: rows as they were, no trigger fired, the books proved. Then it is brought up to date.
 *
 * @param url of a role that owns the database's objects
 * @returns the versions of the migrations applied after the rows
 * @throws {StartupError} where the database is in use or beyond the rows' migrations, or the books do not add up; nothing
 *   is kept then
 */
export async function loadDatabase<Table extends TableColumns>(url: string, plan: LoadPlan<Table>): Promise<string[]> {
  const newest = await findNewest(plan.contents.migrations);
  const client = await openOwnSession(url, 'restore');
  try {
    await prepareTarget(url, newest);
    await requireSameTables(client, plan.contents.tables);
    await fill(client, plan);
  } finally {
    await client.end();
  }
  return migrate(url);
}
