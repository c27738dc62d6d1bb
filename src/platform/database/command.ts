import { parseDatabaseConfig } from '../../config/config.js';
import { StartupError } from '../../config/startup-error.js';
import { type Backend, openDataApi, openDirect } from './backend.js';
import { openEmbedded, superviseEmbedded } from './embedded/embedded.js';
import { SUPABASE_DIRECTORY } from './migrations/migration-files.js';
import { migrate } from './migrations/migrations.js';

const NEEDS_POSTGRES =
  'This command needs a Postgres connection: unset SUPABASE_URL and set DATABASE_URL to the project’s';

/** Database an operator's command works on, with its migrations applied. */
export interface CommandDatabase {
  /** Connection string of a role with all privileges. */
  readonly adminUrl: string;
  /** Migrations that opening it has just applied. */
  readonly applied: readonly string[];
  readonly close: () => Promise<void>;
}

/** Brings the database up to date, and tells whoever watches the command what it waits for. */
function migrateForCommand(adminUrl: string): Promise<string[]> {
  const onWait = (sentence: string) => process.stderr.write(`${sentence}\n`);
  return migrate(adminUrl, SUPABASE_DIRECTORY, undefined, { onWait });
}

/**
 * Opens the database the server would use: DATABASE_URL, or the embedded one, whether or not the server is running.
 * @throws {StartupError} if only SUPABASE_URL is set, as its Data API cannot run commands
 */
export async function openForCommand(): Promise<CommandDatabase> {
  const database = parseDatabaseConfig(process.env);
  if (database.kind === 'supabase') {
    throw new StartupError(NEEDS_POSTGRES);
  }
  if (database.kind === 'direct') {
    const adminUrl = database.connectionString;
    return { adminUrl, applied: await migrateForCommand(adminUrl), close: async () => {} };
  }
  const embedded = await openEmbedded(database.dataDir);
  const { adminUrl } = embedded.cluster;
  return { adminUrl, applied: await migrateForCommand(adminUrl), close: embedded.close };
}

/** The server's database as it is, not migrated. */
export interface PlainDatabase {
  /** Connection string of a role with all privileges. */
  readonly adminUrl: string;
  /** Where the database is embedded: its directory, and the secret that tokens are signed with. */
  readonly embedded: { readonly dataDir: string; readonly jwtSecret: string } | undefined;
  readonly close: () => Promise<void>;
}

/**
 * Opens the database the server would use, without migrating it.
 * @param alone keeps embedded servers from running beside the command
 * @throws {StartupError} if only SUPABASE_URL is set, or an embedded server runs that must not
 */
export async function openPlain(alone: boolean): Promise<PlainDatabase> {
  const database = parseDatabaseConfig(process.env);
  if (database.kind === 'supabase') throw new StartupError(NEEDS_POSTGRES);
  if (database.kind === 'direct') {
    return { adminUrl: database.connectionString, embedded: undefined, close: async () => {} };
  }
  const { dataDir } = database;
  const { cluster, secrets, close } = await (alone ? superviseEmbedded(dataDir, () => {}) : openEmbedded(dataDir));
  return { adminUrl: cluster.adminUrl, embedded: { dataDir, jwtSecret: secrets.jwt_secret }, close };
}

/** Opens the server's database in any set-up, for commands that only call its functions. */
export async function openClientForCommand(): Promise<Pick<Backend, 'database' | 'close'>> {
  const database = parseDatabaseConfig(process.env);
  if (database.kind === 'supabase') {
    return { database: openDataApi(database.url, database.secretKey), close: async () => {} };
  }
  const opened = await openForCommand();
  const direct = await openDirect(opened.adminUrl, { warn: () => {} });
  return {
    database: direct.database,
    close: async () => {
      await direct.close();
      await opened.close();
    },
  };
}
