import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { openCluster } from '../../../src/platform/database/embedded/cluster.js';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

// A cluster of its own, without a role in it: roles belong to a cluster, not to a database.
const directory = await mkdtemp(join(tmpdir(), 'tokenledger-test-'));
const cluster = await openCluster({
  directory: join(directory, 'postgres'),
  password: randomBytes(24).toString('base64url'),
  settings: ['fsync=off'],
});
t.after(async () => {
  await cluster.stop();
  await rm(directory, { recursive: true, force: true });
});
const platform = await readFile(join(PROJECT_ROOT, 'supabase/platform.sql'), 'utf8');

/** Opens a session in one of the cluster's databases, until the test ends. */
async function connect(database: string): Promise<pg.Client> {
  const url = new URL(cluster.adminUrl);
  url.pathname = database;
  const session = new pg.Client({ connectionString: url.href });
  await session.connect();
  t.after(() => session.end());
  return session;
}

t.test('two databases of one cluster that are made at once share the roles', async (t) => {
  const first = await connect('postgres');
  await first.query('create database other');
  const second = await connect('other');
  await first.query('begin');
  await first.query(platform);
  // The other one has looked and found no role by the time it waits for the first to commit.
  const made = second.query(platform);
  const settled = Promise.allSettled([made]);
  const watcher = await connect('postgres');
  await untilTrue(async () => {
    const { rows } = await watcher.query(`select from pg_locks where locktype = 'transactionid' and not granted`);
    return rows.length > 0;
  });
  await first.query('commit');
  const [result] = await settled;
  t.equal(result?.status, 'fulfilled', result?.status === 'rejected' ? String(result.reason) : 'made');
  const { rows } = await watcher.query(
    `select count(*)::integer as roles from pg_roles
      where rolname in ('anon', 'authenticated', 'service_role', 'authenticator')`,
  );
  t.strictSame(rows, [{ roles: 4 }]);
});

t.end();
