import pg from 'pg';
import { loadEnvironmentFile } from '../../src/config/environment-file.js';
import { StartupError } from '../../src/config/startup-error.js';
import { openPlain } from '../../src/platform/database/command.js';
import { migrate } from '../../src/platform/database/migrations/migrations.js';
import { copyRows, loadRows } from '../backup/copy-rows.js';
import { freezeDatabase, thawDatabase } from '../backup/freeze.js';
import { loadDatabase } from '../backup/load.js';
import { beginSnapshot, describeDiscrepancies, digestTable, proveBooks, SESSION_SETTINGS } from '../backup/tables.js';
import { parseCommandLine, runCommandLine, UsageError } from '../command-line.js';

const USAGE =
  'Usage: npm run move -- --to postgresql://… [--replace] (copies the database to an empty one; the old one is read-only from then on)';

function requireTarget(text: string | undefined): string {
  const url = text !== undefined && URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'postgresql:' || url?.protocol === 'postgres:') return url.href;
  throw new UsageError('--to must be the connection string of a Postgres, postgresql://…');
}

async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString, application_name: 'tokenledger move' });
  client.on('error', () => {});
  await client.connect();
  await client.query(SESSION_SETTINGS);
  return client;
}

/** Copies what a frozen database holds, compares both row by row, and returns how many tables there are. */
async function copyDatabase(source: pg.Client, to: string, replace: boolean): Promise<number> {
  const contents = await beginSnapshot(source);
  const wrong = describeDiscrepancies(await proveBooks(source));
  if (wrong !== '') throw new StartupError(`The books do not add up, so nothing was moved:\n${wrong}`);
  await loadDatabase(to, {
    contents,
    replace,
    unproved: false,
    load: async (target, table) => {
      await loadRows(target, table, copyRows(source, table).chunks);
    },
    inspect: async (target) => {
      for (const table of contents.tables) {
        const before = await digestTable(source, table);
        const after = await digestTable(target, table);
        if (before !== after) throw new StartupError(`${table.name} has ${before} here and ${after} there`);
      }
    },
  });
  return contents.tables.length;
}

/** Refuses to move a database onto itself: a lock taken on one side is not free on the other then. */
async function refuseSame(source: pg.Client, to: string): Promise<void> {
  const take = `select pg_try_advisory_lock(hashtext('tokenledger move')) as taken`;
  const { rows: here } = await source.query<{ taken: boolean }>(take);
  if (here[0]?.taken !== true) throw new StartupError('The database is being moved by another command');
  const target = await connect(to);
  try {
    const { rows: there } = await target.query<{ taken: boolean }>(take);
    if (there[0]?.taken !== true) throw new StartupError('--to is the database that is to be moved');
  } finally {
    await target.end();
  }
}

/** Runs the copy with the database frozen, which it stays only if that succeeds. */
async function withFrozen<T>(source: pg.Client, copy: () => Promise<T>): Promise<T> {
  try {
    await freezeDatabase(source);
    return await copy();
  } catch (error) {
    await source.query('rollback');
    // Where it could not be frozen, the reason is what matters.
    await thawDatabase(source).catch(() => {});
    throw error;
  }
}

// npm run move: copies the database of DATABASE_URL, or the embedded one, to another Postgres, and leaves it read-only.
await runCommandLine(USAGE, async (args) => {
  const { values } = parseCommandLine(args, { to: { type: 'string' }, replace: { type: 'boolean', default: false } });
  const to = requireTarget(values.to);
  loadEnvironmentFile();
  const database = await openPlain(true);
  const source = await connect(database.adminUrl);
  try {
    await refuseSame(source, to);
    await migrate(database.adminUrl);
    const tables = await withFrozen(source, () => copyDatabase(source, to, values.replace));
    process.stdout.write(
      `Moved ${tables} tables; both sides have the same rows, and the books of both add up.\n` +
        'The old database is read-only now. Start the server with DATABASE_URL set to the new one.\n' +
        (database.embedded ? 'Tokens stay valid with the jwt_secret of secrets.json as JWT_SECRET.\n' : ''),
    );
  } finally {
    await source.end();
    await database.close();
  }
});
