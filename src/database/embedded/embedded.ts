import { join } from 'node:path';
import pg from 'pg';
import { StartupError } from '../../startup-error.js';
import { type Cluster, openCluster } from './cluster.js';
import { type EmbeddedSecrets, embeddedSecrets } from './secrets.js';

/** Held by the one server of a data directory, for as long as its connection lives: nothing is left after a crash. */
const TRY_SERVER_LOCK = `select pg_try_advisory_lock(hashtext('tokenledger server')) as locked`;
const RESTART_DELAY_MS = 1_000;

/** The embedded Postgres of a data directory. */
export interface EmbeddedPostgres {
  readonly cluster: Cluster;
  readonly secrets: EmbeddedSecrets;
  /** Connection string of the login role API calls start from; it may only become one of the API roles. */
  readonly authenticatorUrl: string;
  /** Stops Postgres, unless another process of ours uses it. */
  readonly close: () => Promise<void>;
}

async function connectAndLock(url: string): Promise<{ client: pg.Client; locked: boolean }> {
  const client = new pg.Client({ connectionString: url, application_name: 'tokenledger server lock' });
  client.on('error', () => {});
  await client.connect();
  const { rows } = await client.query<{ locked: boolean }>(TRY_SERVER_LOCK);
  return { client, locked: rows[0]?.locked === true };
}

async function open(dataDir: string): Promise<Omit<EmbeddedPostgres, 'close'>> {
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
      const { client, locked } = await connectAndLock(opened.cluster.adminUrl);
      if (locked) await opened.cluster.stop();
      await client.end().catch(() => {});
    },
  };
}

/**
 * Opens the embedded Postgres for a server and keeps it running: where Postgres dies it is started again.
 * @throws {StartupError} when another server uses the data directory
 */
export async function superviseEmbedded(dataDir: string, onDeath: () => void): Promise<EmbeddedPostgres> {
  const opened = await open(dataDir);
  let closing = false;
  let { client, locked } = await connectAndLock(opened.cluster.adminUrl);
  if (!locked) {
    await client.end();
    throw new StartupError(
      `Another server is using DATA_DIR ${dataDir}; stop it first, or give this one a DATA_DIR of its own`,
    );
  }

  const revive = async (): Promise<void> => {
    if (closing) return;
    await opened.cluster.restart().catch(() => {});
    const again = await connectAndLock(opened.cluster.adminUrl).catch(() => undefined);
    if (again?.locked !== true) {
      setTimeout(revive, RESTART_DELAY_MS);
      return;
    }
    client = again.client;
    watch();
  };
  const watch = () =>
    client.once('end', () => {
      if (closing) return;
      onDeath();
      void revive();
    });
  watch();

  return {
    ...opened,
    close: async () => {
      closing = true;
      await opened.cluster.stop();
      await client.end().catch(() => {});
    },
  };
}
