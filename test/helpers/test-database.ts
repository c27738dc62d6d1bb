import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { Test } from 'tap';
import { type Cluster, openCluster } from '../../src/database/embedded/cluster.js';
import { migrate } from '../../src/database/migrations.js';

/** A migrated Postgres of a test's own, thrown away after it. */
export interface TestDatabase {
  readonly cluster: Cluster;
  readonly adminUrl: string;
  /** What a server connects with: it may only become one of the API roles. */
  readonly serverUrl: string;
  /** Runs SQL as the superuser. */
  readonly sql: <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => Promise<Row[]>;
}

/** Opens a throwaway database; it ends with the test. */
export async function openTestDatabase(t: Test): Promise<TestDatabase> {
  const directory = await mkdtemp(join(tmpdir(), 'tokenledger-test-'));
  const password = randomBytes(24).toString('base64url');
  const cluster = await openCluster({ directory: join(directory, 'postgres'), password, settings: ['fsync=off'] });
  const pool = new pg.Pool({ connectionString: cluster.adminUrl, max: 4, allowExitOnIdle: true });
  pool.on('error', () => {});
  t.after(async () => {
    await pool.end();
    await cluster.stop().catch(() => {});
    await rm(directory, { recursive: true, force: true });
  });
  await migrate(cluster.adminUrl);
  await pool.query(`alter role authenticator password '${password}'`);
  return {
    cluster,
    adminUrl: cluster.adminUrl,
    serverUrl: cluster.adminUrl.replace('//postgres:', '//authenticator:'),
    sql: async (text, values) => (await pool.query(text, values)).rows,
  };
}
