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
import { type Shares, shareConnections, shareStandby } from './direct/lanes.js';
import { superviseEmbedded } from './embedded/embedded.js';
import { SUPABASE_DIRECTORY } from './migrations/migration-files.js';
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

/** A database as one process calls it, and how it lets go of it. */
type DirectBackend = Pick<Backend, 'database' | 'callerDatabase' | 'close'>;

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

/** How long callers wait before they are told to come back, where that is not as usual. */
export interface Patience {
  /** For a connection, in milliseconds. */
  readonly connectionMs?: number;
  /** For a statement, in milliseconds. */
  readonly statementMs?: number;
  /** For a sign of life, in milliseconds. */
  readonly silenceMs?: number;
  /** Until an item of a batch is answered, in milliseconds. */
  readonly batchMs?: number;
}

/** How a direct Data API is used. */
interface DirectUse {
  readonly shares: Shares;
  /** See {@link Database.batchLanes}. */
  readonly batchLanes: number;
  /** How often a call is made that a conflict ended; 4 times by default. */
  readonly attempts?: number;
  readonly patience?: Patience;
}

async function openDirectFor(
  connectionString: string,
  log: BackendLog,
  { shares, batchLanes, attempts, patience: { connectionMs, statementMs, silenceMs, batchMs } = {} }: DirectUse,
): Promise<DirectBackend> {
  // Only this process signs and checks these database tokens, so their key never leaves it.
  const secret = randomBytes(32).toString('base64url');
  const jwtSecret = new TextEncoder().encode(secret);
  const api = openDirectApi({
    connectionString,
    jwtSecret,
    shares,
    ...(connectionMs !== undefined && { connectionTimeoutMs: connectionMs }),
    ...(statementMs !== undefined && { statementTimeoutMs: statementMs }),
    ...(silenceMs !== undefined && { silenceMs }),
    onConnectionError: (error) => log.warn({ reason: error.message }, 'a database connection broke'),
  });
  const key = await new SignJWT({ role: 'service_role' }).setProtectedHeader({ alg: 'HS256' }).sign(jwtSecret);
  const calls = createDatabase(createDatabaseClient(DIRECT_URL, key, api.fetch), batchLanes, attempts);
  const database = batchMs === undefined ? calls : { ...calls, longestBatchMs: batchMs };
  const callerDatabase = createCallerDatabase(database, await createTokenMinter({ secret }));
  return { database, callerDatabase, close: api.close };
}

/**
 * Opens a standby by its connection string, for reading: what a conflict with recovery ends is not tried again there.
 * @param poolSize most connections
 */
export function openStandbyDirect(connectionString: string, log: BackendLog, poolSize: number): Promise<DirectBackend> {
  return openDirectFor(connectionString, log, { shares: shareStandby(poolSize), batchLanes: 1, attempts: 1 });
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
  patience: Patience = {},
): Promise<DirectBackend> {
  const shares = shareConnections(poolSize);
  const batchLanes = toBatchLanes(typeof shares.metering === 'number' ? shares.metering : 1, isLocal);
  return openDirectFor(connectionString, log, { shares, batchLanes, patience });
}

/** Opens a Supabase project's Data API, as `service_role` and as its users. */
async function openSupabase(config: Extract<Config['database'], { kind: 'supabase' }>): Promise<DirectBackend> {
  const database = openDataApi(config.url, config.secretKey);
  const asUsers = openDataApi(config.url, config.publishableKey ?? config.secretKey);
  const minter = config.signingKey && (await createTokenMinter(config.signingKey));
  return { database, callerDatabase: createCallerDatabase(asUsers, minter), close: async () => {} };
}

/** Sets the password of the login role of API calls. */
async function setPassword(adminUrl: string, password: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  client.on('error', () => {});
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
    const onWait = (sentence: string) => log.warn({}, sentence);
    await migrate(postgres.cluster.adminUrl, SUPABASE_DIRECTORY, undefined, { onWait });
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
 * @param patience how long callers wait for a Postgres by its URL, where that is not as usual
 * @throws {StartupError} when the embedded Postgres cannot be used
 */
export async function openBackend(
  config: Config,
  log: BackendLog,
  poolSize?: number,
  patience: Patience = {},
): Promise<Backend> {
  const jwtSecret = config.tokens.secret ?? '';
  switch (config.database.kind) {
    case 'embedded': {
      const { dataDir, poolSize: most } = config.database;
      return openEmbeddedBackend(dataDir, poolSize ?? most, config.tokens.secret, log);
    }
    case 'direct': {
      const { connectionString, poolSize: most } = config.database;
      const direct = await openDirect(connectionString, log, poolSize ?? most, false, patience);
      return { ...direct, jwtSecret, embedded: false };
    }
    case 'supabase':
      return { ...(await openSupabase(config.database)), jwtSecret, embedded: false };
  }
}
