import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { StartupError } from '../../startup-error.js';
import { findBinaries } from './binaries.js';
import { type Cluster, openCluster } from './cluster.js';
import { type EmbeddedSecrets, embeddedSecrets } from './secrets.js';

/** Held by the one server of a data directory, for as long as its connection lives: nothing is left after a crash. */
const TRY_SERVER_LOCK = `select pg_try_advisory_lock(hashtext('tokenledger server')) as locked`;
const RESTART_DELAY_MS = 1_000;
/** How long a lock may outlive the server that held it, until Postgres notices that it is gone. */
const LOCK_PATIENCE_MS = 2_000;
const OPEN_ATTEMPTS = 3;

/** The embedded Postgres of a data directory. */
export interface EmbeddedPostgres {
  readonly cluster: Cluster;
  readonly secrets: EmbeddedSecrets;
  /** Connection string of the login role API calls start from; it may only become one of the API roles. */
  readonly authenticatorUrl: string;
  /** Stops Postgres, unless another process of ours uses it. */
  readonly close: () => Promise<void>;
}

type Opened = Omit<EmbeddedPostgres, 'close'>;

/** Takes the server lock, trying for a while; undefined where another holds it. */
async function takeServerLock(url: string, patienceMs: number): Promise<pg.Client | undefined> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'tokenledger server lock',
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
  });
  client.on('error', () => {});
  await client.connect();
  for (const deadline = Date.now() + patienceMs; ; await delay(100)) {
    const { rows } = await client.query<{ locked: boolean }>(TRY_SERVER_LOCK);
    if (rows[0]?.locked === true) return client;
    if (Date.now() >= deadline) break;
  }
  await client.end();
  return undefined;
}

async function open(dataDir: string): Promise<Opened> {
  // First, as without it the data directory does not matter.
  await findBinaries();
  const secrets = await embeddedSecrets(dataDir);
  const cluster = await openCluster({ directory: join(dataDir, 'postgres'), password: secrets.postgres_password });
  const authenticatorUrl = new URL(cluster.adminUrl);
  authenticatorUrl.username = 'authenticator';
  authenticatorUrl.password = secrets.authenticator_password;
  return { cluster, secrets, authenticatorUrl: authenticatorUrl.href };
}

/** Opens the embedded Postgres for a command: joins a running server's, or starts it for as long as needed. */
export async function openEmbedded(dataDir: string): Promise<EmbeddedPostgres> {
  const opened = await open(dataDir);
  return {
    ...opened,
    close: async () => {
      const lock = await takeServerLock(opened.cluster.adminUrl, 0);
      if (lock === undefined) return;
      await opened.cluster.stop();
      await lock.end().catch(() => {});
    },
  };
}

/** Opens the embedded Postgres and takes its lock; begins again where a command that ends stops it in between. */
async function openLocked(dataDir: string, attempt = 1): Promise<{ opened: Opened; lock: pg.Client | undefined }> {
  const opened = await open(dataDir);
  try {
    return { opened, lock: await takeServerLock(opened.cluster.adminUrl, LOCK_PATIENCE_MS) };
  } catch (error) {
    if (attempt === OPEN_ATTEMPTS) throw error;
    return openLocked(dataDir, attempt + 1);
  }
}

/**
 * Opens the embedded Postgres for a server and keeps it running: where Postgres dies it is started again.
 *
 * @param onDeath told before each attempt to start Postgres again
 * @throws {StartupError} when another server uses the data directory
 */
export async function superviseEmbedded(dataDir: string, onDeath: () => void): Promise<EmbeddedPostgres> {
  const { opened, lock } = await openLocked(dataDir);
  if (lock === undefined) {
    throw new StartupError(
      `Another server is using DATA_DIR ${dataDir}; stop it first, or give this one a DATA_DIR of its own`,
    );
  }
  let client = lock;
  let closing = false;
  let revival = Promise.resolve();

  const revive = async () => {
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
      if (!closing) revival = revive();
    });
  };
  watch(lock);

  return {
    ...opened,
    close: async () => {
      closing = true;
      await revival;
      await opened.cluster.stop();
      await client.end().catch(() => {});
    },
  };
}
