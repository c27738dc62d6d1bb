import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { loadEnvironmentFile } from '../../src/config/environment-file.js';
import { StartupError } from '../../src/config/startup-error.js';
import { openPlain, type PlainDatabase } from '../../src/platform/database/command.js';
import { openOwnSession } from '../backup/session.js';
import { beginSnapshot } from '../backup/tables.js';
import { type WrittenArchive, writeArchive } from '../backup/write-archive.js';
import { parseCommandLine, parseWholeNumber, runCommandLine } from '../command-line.js';

const USAGE =
  'Usage: npm run backup [-- --directory <folder>] [--keep <n>] (writes a backup to ./backups; --keep removes all but the newest n)';
const FILE = /^tokenledger-\d{8}T\d{6}Z\.tar\.gz$/;
const DRAFT = /^tokenledger-\d{8}T\d{6}Z\.tar\.gz\.\d+\.partial$/;
/** A draft nobody has written to for so long, in milliseconds, is of a backup that was killed. */
const DEAD_AFTER_MS = 60 * 60_000;
const MOST_KEPT = 100_000;

/** Returns a file name that sorts by time. */
function nameFile(time: Date): string {
  return `tokenledger-${time.toISOString().replace(/[-:]|\.\d+/g, '')}.tar.gz`;
}

async function saveDatabase({ adminUrl, embedded }: PlainDatabase, path: string): Promise<WrittenArchive> {
  const client = await openOwnSession(adminUrl, 'backup');
  try {
    const contents = await beginSnapshot(client);
    if (contents.migrations.length === 0) throw new StartupError('The database has none of this server’s tables');
    return await writeArchive(client, contents, path, embedded?.jwtSecret);
  } finally {
    await client.end();
  }
}

/** Removes what backups left that were killed: they hold as much as one that was finished, and nobody counts them. */
async function removeDead(directory: string): Promise<void> {
  for (const file of (await readdir(directory)).filter((name) => DRAFT.test(name))) {
    const path = join(directory, file);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > DEAD_AFTER_MS) await rm(path, { force: true });
  }
}

/** Removes all but the newest backups of a folder, and returns their names. */
async function removeOld(directory: string, keep: number): Promise<string[]> {
  const files = (await readdir(directory)).filter((file) => FILE.test(file)).sort();
  const old = files.slice(0, Math.max(0, files.length - keep));
  await Promise.all(old.map((file) => rm(join(directory, file))));
  return old;
}

// npm run backup: writes everything the server's database holds to a file, beside a running server or without one.
await runCommandLine(USAGE, async (args) => {
  const { values } = parseCommandLine(args, { directory: { type: 'string' }, keep: { type: 'string' } });
  const keep = values.keep === undefined ? undefined : parseWholeNumber('keep', values.keep, MOST_KEPT);
  loadEnvironmentFile();
  const directory = values.directory ?? 'backups';
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await removeDead(directory);
  const path = join(directory, nameFile(new Date()));
  const draft = `${path}.${process.pid}.partial`;
  const database = await openPlain(false);
  try {
    const { rows, sha256 } = await saveDatabase(database, draft);
    await rename(draft, path);
    process.stdout.write(`Wrote ${rows} rows to ${path}.\nSHA-256 ${sha256}\n`);
  } finally {
    await rm(draft, { force: true });
    await database.close();
  }
  if (keep === undefined) return;
  for (const file of await removeOld(directory, keep)) process.stdout.write(`Removed ${join(directory, file)}.\n`);
});
