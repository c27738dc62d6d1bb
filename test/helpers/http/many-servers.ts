import { randomBytes } from 'node:crypto';
import { openPgBouncer } from '../db/pgbouncer.js';
import { openTestDatabase, type TestDatabase } from '../db/test-database.js';
import { type FakeUpstream, openUpstream } from '../fakes/openrouter.js';
import { findFreePort, isMissing } from '../local-program.js';
import { openRedis } from '../redis.js';
import type { Test } from '../run/tap.js';
import { until } from '../until.js';
import { readDeployFile, startCaddy, startNginx } from './proxies.js';
import { send } from './server-load.js';
import { openDirectory, type ServerProcess, startServer } from './server-process.js';
import { testEnvironment } from './test-server.js';

/** Several servers behind a proxy, over one Postgres through PgBouncer, that count limits in one Redis. */
export interface ManyServers {
  readonly database: TestDatabase;
  readonly upstream: FakeUpstream;
  /** The proxy's address. */
  readonly url: string;
  /** The servers' own addresses. */
  readonly urls: readonly string[];
  readonly adminPassword: string;
  /** The server that runs at a place, or ran there last. */
  readonly serverAt: (position: number) => ServerProcess;
  /** Starts a server again where it ran before; it is ready. */
  readonly startAgain: (position: number) => Promise<void>;
}

const PORTS = ['127.0.0.1:3001', '127.0.0.1:3002', '127.0.0.1:3003'];

/** Returns why servers cannot be put behind a proxy here; false where they can. */
export function cannotServe(proxy: 'nginx' | 'caddy'): string | false {
  const found = [isMissing(proxy, proxy === 'nginx' ? '-v' : 'version'), isMissing('pgbouncer', '--version')];
  return [...found, isMissing('redis-server', '--version')].find((reason) => reason !== false) ?? false;
}

/** Starts the proxy with the file for operators. @returns its address */
async function startProxy(t: Test, proxy: 'nginx' | 'caddy', ports: readonly number[]): Promise<string> {
  const port = await findFreePort();
  const servers = Object.fromEntries(PORTS.map((known, n) => [known, `127.0.0.1:${ports[n] ?? ports[0]}`]));
  if (proxy === 'nginx') {
    const listen = { 'listen 80;': `listen 127.0.0.1:${port};`, 'listen [::]:80;': '' };
    await startNginx(t, await readDeployFile('nginx.conf', { ...servers, ...listen }));
  } else {
    const listen = { 'tokens.example.com': `http://127.0.0.1:${port}` };
    await startCaddy(t, await readDeployFile('Caddyfile', { ...servers, ...listen }));
  }
  return `http://127.0.0.1:${port}`;
}

/**
 * Starts so many servers and what is around them, with the files in `scripts/deploy`; all of it ends with the test.
 *
 * @param prepare is given the database before servers use it
 */
export async function openManyServers(
  t: Test,
  proxy: 'nginx' | 'caddy',
  count: number,
  environment: Readonly<Record<string, string>> = {},
  prepare: (database: TestDatabase) => Promise<unknown> = async () => {},
): Promise<ManyServers> {
  const { path: cwd } = await openDirectory(t);
  const database = await openTestDatabase(t);
  await prepare(database);
  const [redis, upstream] = [await openRedis(t), await openUpstream(t)];
  const pooled = await openPgBouncer(t, database.serverUrl, 'transaction', 20);
  const adminPassword = randomBytes(16).toString('base64url');
  const shared = testEnvironment(database, {
    ...{ DATABASE_URL: pooled, DATABASE_POOL_SIZE: '12', ADMIN_PASSWORD: adminPassword, REDIS_URL: redis.url },
    ...upstream.environment,
    ...environment,
  });
  const ports = await Promise.all(Array.from({ length: count }, () => findFreePort()));
  const start = (port: number | undefined) =>
    startServer(t, { cwd, environment: { ...shared, PORT: String(port), HOST: '127.0.0.1' } });
  const servers = ports.map(start);
  const urls = await Promise.all(servers.map((server) => server.ready()));
  const url = await startProxy(t, proxy, ports);
  await until('the proxy answers', async () => ((await send(url, '/readyz'))?.status === 200 ? true : undefined));
  const serverAt = (position: number) => {
    const server = servers[position];
    if (server === undefined) throw new Error(`there is no server ${position}`);
    return server;
  };
  return {
    ...{ database, upstream, url, urls, adminPassword, serverAt },
    startAgain: async (position) => {
      servers[position] = start(ports[position]);
      await serverAt(position).ready();
    },
  };
}
