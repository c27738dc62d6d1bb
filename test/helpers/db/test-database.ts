import { execFile } from 'node:child_process';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import type { Test } from 'tap';
import { type Cluster, openCluster } from '../../../src/platform/database/embedded/cluster.js';
import { migrate } from '../../../src/platform/database/migrations/migrations.js';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';

const SETTINGS = ['fsync=off'];
const TEMPLATES = join(PROJECT_ROOT, 'node_modules/.cache/tokenledger-tests');
const SQL = join(PROJECT_ROOT, 'supabase');

/** A migrated Postgres of a test's own, thrown away after it. */
export interface TestDatabase {
  readonly cluster: Cluster;
  readonly adminUrl: string;
  /** What a server connects with: it may only become one of the API roles. */
  readonly serverUrl: string;
  /** Runs SQL as the superuser. */
  readonly sql: <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => Promise<Row[]>;
}

/** A name for the state the SQL files are in. */
async function stateOfSql(): Promise<string> {
  const migrations = (await readdir(join(SQL, 'migrations'))).sort().map((file) => join(SQL, 'migrations', file));
  const texts = await Promise.all([join(SQL, 'platform.sql'), ...migrations].map((file) => readFile(file, 'utf8')));
  return createHash('sha256').update(texts.join('\0')).digest('hex').slice(0, 20);
}

async function makeTemplate(directory: string): Promise<void> {
  const draft = `${directory}.${randomUUID()}`;
  await mkdir(draft, { recursive: true });
  const password = randomBytes(24).toString('base64url');
  const cluster = await openCluster({ directory: join(draft, 'postgres'), password, settings: SETTINGS });
  await migrate(cluster.adminUrl);
  const client = new pg.Client({ connectionString: cluster.adminUrl });
  await client.connect();
  await client.query(`alter role authenticator password '${password}'`);
  await client.end();
  await cluster.stop();
  await rm(join(draft, 'postgres/server.log'), { force: true });
  await writeFile(join(draft, 'password'), password, { mode: 0o600 });
  // Of two tests that made one at once, the first to be here wins.
  await rename(draft, directory).catch(() => rm(draft, { recursive: true, force: true }));
}

/**
 * A migrated cluster to copy, made once for each state of the SQL files: every test file has a database of its own, and
 * copying one takes a fraction of making it.
 */
async function template(): Promise<{ directory: string; password: string }> {
  const directory = join(TEMPLATES, await stateOfSql());
  const read = () => readFile(join(directory, 'password'), 'utf8');
  const password = await read().catch(async () => {
    await makeTemplate(directory);
    return read();
  });
  return { directory: join(directory, 'postgres'), password };
}

/** Opens a throwaway database; it ends with the test. */
export async function openTestDatabase(t: Test): Promise<TestDatabase> {
  const source = await template();
  const parent = await mkdtemp(join(tmpdir(), 'tokenledger-test-'));
  const directory = join(parent, 'postgres');
  // Owners and modes as they are: Postgres asks for both.
  await promisify(execFile)('cp', ['-a', source.directory, directory]);
  const cluster = await openCluster({ directory, password: source.password, settings: SETTINGS });
  const pool = new pg.Pool({ connectionString: cluster.adminUrl, max: 4, allowExitOnIdle: true });
  pool.on('error', () => {});
  t.after(async () => {
    await pool.end();
    await cluster.stop().catch(() => {});
    await rm(parent, { recursive: true, force: true });
  });
  return {
    cluster,
    adminUrl: cluster.adminUrl,
    serverUrl: cluster.adminUrl.replace('//postgres:', '//authenticator:'),
    sql: async (text, values) => (await pool.query(text, values)).rows,
  };
}
