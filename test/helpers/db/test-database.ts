import { randomUUID } from 'node:crypto';
import pg from 'pg';
import type { Test } from 'tap';
import type { Cluster } from '../../../src/platform/database/embedded/cluster.js';
import { CITUS_VARIABLE, copyOnCitus } from './citus.js';
import { SHARED_CLUSTER_VARIABLE, sharedClusterUrl } from './shared-cluster.js';
import { TEMPLATE_DATABASE } from './template.js';
import { openThrowawayCluster } from './throwaway-cluster.js';

/** A migrated database of a test's own, thrown away after it. */
export interface TestDatabase {
  readonly name: string;
  readonly adminUrl: string;
  /** What a server connects with: it may only become one of the API roles. */
  readonly serverUrl: string;
  /** Runs SQL as the superuser. */
  readonly sql: <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) => Promise<Row[]>;
}

/** A migrated database in a Postgres of a test's own. */
export interface OwnedTestDatabase extends TestDatabase {
  readonly cluster: Cluster;
}

/** Connects to a database as its superuser. */
export function connectToDatabase(t: Test, name: string, adminUrl: string): TestDatabase {
  const pool = new pg.Pool({ connectionString: adminUrl, max: 4, allowExitOnIdle: true });
  pool.on('error', () => {});
  t.after(() => pool.end());
  return {
    name,
    adminUrl,
    serverUrl: adminUrl.replace('//postgres:', '//authenticator:'),
    sql: async (text, values) => (await pool.query(text, values)).rows,
  };
}

async function runOnce(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/**
 * Opens a throwaway database; it ends with the test.
 *
 * Other tests have theirs in the same Postgres: roles and their passwords are shared, and so are `pg_stat_activity` and
 * its kind, where the rows of one database are those `where datname = current_database()`.
 */
export async function openTestDatabase(t: Test): Promise<TestDatabase> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const citusUrl = process.env[CITUS_VARIABLE];
  if (citusUrl !== undefined) {
    const { adminUrl, drop } = await copyOnCitus(citusUrl, name);
    t.after(drop);
    return connectToDatabase(t, name, adminUrl);
  }
  const clusterUrl = await sharedClusterUrl();
  // Copies files instead of writing them to the log: the faster one where nothing is flushed.
  await runOnce(clusterUrl, `create database ${name} template ${TEMPLATE_DATABASE} strategy file_copy`);
  // A Postgres started for this file alone goes as a whole.
  if (process.env[SHARED_CLUSTER_VARIABLE] !== undefined) {
    t.after(() => runOnce(clusterUrl, `drop database ${name} with (force)`));
  }
  return connectToDatabase(t, name, clusterUrl.replace(/\/postgres$/, `/${name}`));
}

/**
 * Opens a throwaway database in a Postgres of its own, which takes about a second: for a test that stops Postgres, reads
 * its log, makes databases or changes roles. It ends with the test.
 */
export async function openTestCluster(t: Test, settings: readonly string[] = []): Promise<OwnedTestDatabase> {
  const cluster = await openThrowawayCluster(settings);
  t.after(cluster.remove);
  return { ...connectToDatabase(t, 'postgres', cluster.adminUrl), cluster };
}
