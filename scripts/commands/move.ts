import type pg from 'pg';
import { loadEnvironmentFile } from '../../src/config/environment-file.js';
import { StartupError } from '../../src/config/startup-error.js';
import { openPlain } from '../../src/platform/database/command.js';
import { describeFailedConnection } from '../../src/platform/database/describe-failure.js';
import { migrate } from '../../src/platform/database/migrations/migrations.js';
import { copyRows, loadRows } from '../backup/copy-rows.js';
import { freezeDatabase, thawDatabase } from '../backup/freeze.js';
import { loadDatabase } from '../backup/load.js';
import { openOwnSession } from '../backup/session.js';
import { beginSnapshot, describeDiscrepancies, digestTable, proveBooks } from '../backup/tables.js';
import { parseCommandLine, runCommandLine, UsageError } from '../command-line.js';

const USAGE =
  'Usage: npm run move -- --to postgresql://… [--replace] | --undo (copies the database to an empty one; the old one is read-only from then on, until --undo)';

function requireTarget(text: string | undefined): string {
  const url = text !== undefined && URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'postgresql:' || url?.protocol === 'postgres:') return url.href;
  throw new UsageError('--to must be the connection string of a Postgres, postgresql://…');
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
  const target = await openOwnSession(to, 'move').catch((error: unknown) => {
    const problem = describeFailedConnection(error, '--to');
    throw problem === undefined ? error : new StartupError(problem, { cause: error });
  });
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

async function move(to: string, replace: boolean): Promise<void> {
  const database = await openPlain(true);
  try {
    const source = await openOwnSession(database.adminUrl, 'move');
    try {
      await refuseSame(source, to);
      await migrate(database.adminUrl);
      const tables = await withFrozen(source, () => copyDatabase(source, to, replace));
      process.stdout.write(
        `Moved ${tables} tables; both sides have the same rows, and the books of both add up.\n` +
          'The old database is read-only now. Start the server with DATABASE_URL set to the new one.\n' +
          (database.embedded ? 'Tokens stay valid with the jwt_secret of secrets.json as JWT_SECRET.\n' : ''),
      );
    } finally {
      await source.end();
    }
  } finally {
    await database.close();
  }
}

/** Lets the database that was moved be written again. */
async function undo(): Promise<void> {
  const database = await openPlain(false);
  try {
    const client = await openOwnSession(database.adminUrl, 'move');
    await thawDatabase(client).finally(() => client.end());
    process.stdout.write('The database can be written again. What was written to the other one since is not in it.\n');
  } finally {
    await database.close();
  }
}

// npm run move: copies the database of DATABASE_URL, or the embedded one, to another Postgres, and leaves it read-only.
await runCommandLine(USAGE, async (args) => {
  const { values } = parseCommandLine(args, {
    to: { type: 'string' },
    replace: { type: 'boolean', default: false },
    undo: { type: 'boolean', default: false },
  });
  if (values.undo && (values.to !== undefined || values.replace)) throw new UsageError('--undo takes nothing else');
  const to = values.undo ? undefined : requireTarget(values.to);
  loadEnvironmentFile();
  await (to === undefined ? undo() : move(to, values.replace));
});
