import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { SignJWT } from 'jose';
import pg from 'pg';
import type { Config } from '../../config/config.js';
import { DEFAULT_POOL_SIZE } from '../../config/pool-size.js';
import { type CallerDatabase, createCallerDatabase } from './client/caller-database.js';
import { createDatabaseClient, fetchWithTimeout } from './client/client.js';
import { createDatabase, type Database } from './client/database.js';
import { createTokenMinter } from './client/token-minter.js';
import { openDirectApi } from './direct/direct-api.js';
import { shareConnections } from './direct/lanes.js';
import { superviseEmbedded } from './embedded/embedded.js';
import { migrate } from './migrations/migrations.js';

/** Longest wait for an answer of a Data API over the network, in milliseconds. */
const CALL_TIMEOUT_MS = 15_000;
/** Most batches of one function at once: each has a connection of Postgres and some of its work for itself. */
const MOST_LANES = 3;
/** Placeholder that is never resolved: supabase-js needs a URL, but the direct Data API uses no network. */
const DIRECT_URL = 'http://direct.invalid';

/** The database as the server uses it. */
export interface Backend {
  /** Acts as `service_role`, which may execute the server's functions and nothing else. */
  readonly database: Database;
  /** Acts in a person's own name, under row-level security. */
  readonly callerDatabase: CallerDatabase;
  /** The secret client tokens are signed with; several where they rotate, as `parseSecretList` reads them. */
  readonly jwtSecret: string;
  /** True if the server runs its own Postgres, so that it may generate missing secrets. */
  readonly embedded: boolean;
  /** Connection string for further processes of this server, where only it knows where the database is. */
  readonly sharedUrl?: string;
  readonly close: () => Promise<void>;
}

/** Where the backend reports problems while it runs. */
export interface BackendLog {
  readonly warn: (details: object, message: string) => void;
}

/** Opens a Supabase project's Data API, acting with one of its keys. */
export function openDataApi(url: string, key: string): Database {
  return createDatabase(createDatabaseClient(url, key, fetchWithTimeout(CALL_TIMEOUT_MS)));
}

/** Returns how many batches of one function are worth sending at once, with so many connections for metering. */
function toBatchLanes(connections: number, isLocal: boolean): number {
  // On this machine the server needs cores as well; elsewhere it is the way there that takes the time.
  const worthwhile = isLocal ? Math.floor(availableParallelism() / 4) : MOST_LANES;
  return Math.max(1, Math.min(MOST_LANES, worthwhile, connections - 1));
}

/**
 * Opens the direct Data API, as `service_role` and as its users.
 * @param poolSize most connections, 12 by default
 * @param isLocal whether Postgres runs on this machine
 */
export async function openDirect(
  connectionString: string,
  log: BackendLog,
  poolSize = DEFAULT_POOL_SIZE,
  isLocal = true,
): Promise<Pick<Backend, 'database' | 'callerDatabase' | 'close'>> {
  // Only this process signs and checks these database tokens, so their key never leaves it.
  const secret = randomBytes(32).toString('base64url');
  const jwtSecret = new TextEncoder().encode(secret);
  const shares = shareConnections(poolSize);
  const api = openDirectApi({
    connectionString,
    jwtSecret,
    shares,
    onConnectionError: (error) => log.warn({ reason: error.message }, 'a database connection broke'),
  });
  const key = await new SignJWT({ role: 'service_role' }).setProtectedHeader({ alg: 'HS256' }).sign(jwtSecret);
  const lanes = toBatchLanes(typeof shares.metering === 'number' ? shares.metering : 1, isLocal);
  const database = createDatabase(createDatabaseClient(DIRECT_URL, key, api.fetch), lanes);
  const callerDatabase = createCallerDatabase(database, await createTokenMinter({ secret }));
  return { database, callerDatabase, close: api.close };
}

/** Opens a Supabase project's Data API, as `service_role` and as its users. */
async function openSupabase(
  config: Extract<Config['database'], { kind: 'supabase' }>,
): Promise<Pick<Backend, 'database' | 'callerDatabase' | 'close'>> {
  const database = openDataApi(config.url, config.secretKey);
  const asUsers = openDataApi(config.url, config.publishableKey ?? config.secretKey);
  const minter = config.signingKey && (await createTokenMinter(config.signingKey));
  return { database, callerDatabase: createCallerDatabase(asUsers, minter), close: async () => {} };
}

/** Sets the password of the login role of API calls. */
async function setPassword(adminUrl: string, password: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  await client.query(`alter role authenticator password ${client.escapeLiteral(password)}`);
  await client.end();
}

async function openEmbeddedBackend(
  dataDir: string,
  poolSize: number,
  jwtSecret: string | undefined,
  log: BackendLog,
): Promise<Backend> {
  const postgres = await superviseEmbedded(dataDir, () => log.warn({}, 'Postgres stopped; starting it again'));
  try {
    await migrate(postgres.cluster.adminUrl);
    await setPassword(postgres.cluster.adminUrl, postgres.secrets.authenticator_password);
    const direct = await openDirect(postgres.authenticatorUrl, log, poolSize);
    return {
      database: direct.database,
      callerDatabase: direct.callerDatabase,
      jwtSecret: jwtSecret ?? postgres.secrets.jwt_secret,
      embedded: true,
      sharedUrl: postgres.authenticatorUrl,
      close: async () => {
        await direct.close();
        await postgres.close();
      },
    };
  } catch (error) {
    await postgres.close().catch(() => {});
    throw error;
  }
}

/**
 * Opens the database the configuration names: the embedded Postgres, a Postgres by its URL, or a Supabase
 * project's Data API.
 * @param poolSize most connections of this process; by default all that the machine may have
 * @throws {StartupError} when the embedded Postgres cannot be used
 */
export async function openBackend(config: Config, log: BackendLog, poolSize?: number): Promise<Backend> {
  const jwtSecret = config.tokens.secret ?? '';
  switch (config.database.kind) {
    case 'embedded': {
      const { dataDir, poolSize: most } = config.database;
      return openEmbeddedBackend(dataDir, poolSize ?? most, config.tokens.secret, log);
    }
    case 'direct': {
      const { connectionString, poolSize: most } = config.database;
      return { ...(await openDirect(connectionString, log, poolSize ?? most, false)), jwtSecret, embedded: false };
    }
    case 'supabase':
      return { ...(await openSupabase(config.database)), jwtSecret, embedded: false };
  }
}
