import { randomBytes } from 'node:crypto';
import { SignJWT } from 'jose';
import pg from 'pg';
import type { Config } from '../../config/config.js';
import { createDatabaseClient, type DatabaseClient, fetchWithTimeout } from './client/client.js';
import { createTokenMinter } from './client/token-minter.js';
import { createUserDatabase, type UserDatabase } from './client/user-database.js';
import { openDirectApi } from './direct/direct-api.js';
import { superviseEmbedded } from './embedded/embedded.js';
import { migrate } from './migrations/migrations.js';

/** Longest wait for an answer of a Data API over the network. */
const CALL_TIMEOUT_MS = 15_000;
/** Never resolved: supabase-js wants a URL, the direct Data API answers without a network. */
const DIRECT_URL = 'http://direct.invalid';

/** The database as the server uses it. */
export interface Backend {
  /** Acts as `service_role`: may execute the server's functions, and nothing else. */
  readonly database: DatabaseClient;
  /** Acts in a person's own name, under row-level security. */
  readonly userDatabase: UserDatabase;
  /** Key client tokens are signed with. */
  readonly jwtSecret: string;
  /** Whether Postgres came with the server, so that the server may generate what is missing. */
  readonly embedded: boolean;
  readonly close: () => Promise<void>;
}

/** What the backend reports while it runs. */
export interface BackendLog {
  readonly warn: (details: object, message: string) => void;
}

/** A client of a Supabase project's Data API, acting with one of its keys. */
export function supabaseClient(url: string, key: string): DatabaseClient {
  return createDatabaseClient(url, key, fetchWithTimeout(CALL_TIMEOUT_MS));
}

/** Clients over the direct Data API, as `service_role` and as its users. */
export async function openDirect(
  connectionString: string,
  log: BackendLog,
): Promise<Pick<Backend, 'database' | 'userDatabase' | 'close'>> {
  // Database tokens are made and checked by this process only, so their key never leaves it.
  const secret = randomBytes(32).toString('base64url');
  const jwtSecret = new TextEncoder().encode(secret);
  const api = openDirectApi({
    connectionString,
    jwtSecret,
    onConnectionError: (error) => log.warn({ reason: error.message }, 'a database connection broke'),
  });
  const key = await new SignJWT({ role: 'service_role' }).setProtectedHeader({ alg: 'HS256' }).sign(jwtSecret);
  const database = createDatabaseClient(DIRECT_URL, key, api.fetch);
  const userDatabase = createUserDatabase(database, await createTokenMinter({ secret }));
  return { database, userDatabase, close: api.close };
}

/** Clients of a Supabase project's Data API. */
async function openSupabase(
  config: Extract<Config['database'], { kind: 'supabase' }>,
): Promise<Pick<Backend, 'database' | 'userDatabase' | 'close'>> {
  const database = supabaseClient(config.url, config.secretKey);
  const asUsers = supabaseClient(config.url, config.publishableKey ?? config.secretKey);
  const minter = config.signingKey && (await createTokenMinter(config.signingKey));
  return { database, userDatabase: createUserDatabase(asUsers, minter), close: async () => {} };
}

async function setPassword(adminUrl: string, password: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  await client.query(`alter role authenticator password ${client.escapeLiteral(password)}`);
  await client.end();
}

async function openEmbeddedBackend(dataDir: string, jwtSecret: string | undefined, log: BackendLog): Promise<Backend> {
  const postgres = await superviseEmbedded(dataDir, () => log.warn({}, 'Postgres stopped; starting it again'));
  try {
    await migrate(postgres.cluster.adminUrl);
    await setPassword(postgres.cluster.adminUrl, postgres.secrets.authenticator_password);
    const direct = await openDirect(postgres.authenticatorUrl, log);
    return {
      database: direct.database,
      userDatabase: direct.userDatabase,
      jwtSecret: jwtSecret ?? postgres.secrets.jwt_secret,
      embedded: true,
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
 * @throws {StartupError} when the embedded Postgres cannot be used
 */
export async function openBackend(config: Config, log: BackendLog): Promise<Backend> {
  const jwtSecret = config.JWT_SECRET ?? '';
  switch (config.database.kind) {
    case 'embedded':
      return openEmbeddedBackend(config.database.dataDir, config.JWT_SECRET, log);
    case 'direct':
      return { ...(await openDirect(config.database.connectionString, log)), jwtSecret, embedded: false };
    case 'supabase':
      return { ...(await openSupabase(config.database)), jwtSecret, embedded: false };
  }
}
