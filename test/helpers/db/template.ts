import { execFile } from 'node:child_process';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { openCluster } from '../../../src/platform/database/embedded/cluster.js';
import { migrate } from '../../../src/platform/database/migrations/migrations.js';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';

/** A migrated database of the template cluster that nobody connects to: databases are made from it. */
export const TEMPLATE_DATABASE = 'tokenledger_template';
/** Nothing here has to survive a crash. */
export const FAST_SETTINGS = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'];

const CACHE = join(PROJECT_ROOT, 'node_modules/.cache/tokenledger-tests');
const SUPABASE = join(PROJECT_ROOT, 'supabase');
/** Changes whenever the template is made in another way. */
const LAYOUT = '3';

/** Returns a name for the state the SQL files are in, and the month: its period and partitions are those of the day it is made. */
async function hashSql(): Promise<string> {
  const files = (await readdir(SUPABASE, { recursive: true })).filter((file) => file.endsWith('.sql')).sort();
  const texts = await Promise.all(files.map((file) => readFile(join(SUPABASE, file), 'utf8')));
  return createHash('sha256')
    .update([LAYOUT, new Date().toISOString().slice(0, 7), ...files, ...texts].join('\0'))
    .digest('hex')
    .slice(0, 20);
}

async function runAsSuperuser(url: string, statements: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

/** Removes the templates of other states of the SQL files, and drafts of makers that were killed. */
async function removeOthers(directory: string): Promise<void> {
  const names = await readdir(dirname(directory));
  const stale = names.filter((name) => !name.startsWith(basename(directory)));
  await Promise.all(stale.map((name) => rm(join(dirname(directory), name), { recursive: true, force: true })));
}

async function makeTemplate(directory: string): Promise<void> {
  const draft = `${directory}.${randomUUID()}`;
  await mkdir(draft, { recursive: true });
  const password = randomBytes(24).toString('base64url');
  const cluster = await openCluster({ directory: join(draft, 'postgres'), password, settings: FAST_SETTINGS });
  try {
    await migrate(cluster.adminUrl);
    await runAsSuperuser(cluster.adminUrl, [
      `alter role authenticator password '${password}'`,
      // Tests set the stage with rows of their own; whoever acts as anybody else changes nothing by hand.
      `alter role postgres set tokenledger.by_hand = 'test'`,
    ]);
    const maintenanceUrl = cluster.adminUrl.replace(/postgres$/, 'template1');
    await runAsSuperuser(maintenanceUrl, [`create database ${TEMPLATE_DATABASE} template postgres`]);
  } finally {
    await cluster.stop();
  }
  await rm(join(draft, 'postgres/server.log'), { force: true });
  await writeFile(join(draft, 'password'), password, { mode: 0o600 });
  // Of two that made one at once, the first to be here wins.
  await rename(draft, directory).catch(() => rm(draft, { recursive: true, force: true }));
  await removeOthers(directory);
}

/**
 * Copies a migrated cluster to a directory that does not exist yet; the original is made once for each state of the SQL
 * files and kept in `node_modules/.cache`.
 *
 * @returns the password of the superuser, and of `authenticator`
 */
export async function copyTemplate(directory: string): Promise<string> {
  const template = join(CACHE, await hashSql());
  const readPassword = () => readFile(join(template, 'password'), 'utf8');
  const password = await readPassword().catch(async () => {
    await makeTemplate(template);
    return readPassword();
  });
  // Owners and modes as they are: Postgres asks for both.
  await promisify(execFile)('cp', ['-a', join(template, 'postgres'), directory]);
  return password;
}
