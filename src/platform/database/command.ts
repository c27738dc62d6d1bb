import { parseDatabaseConfig } from '../../config/config.js';
import { loadEnvironmentFile } from '../../config/environment-file.js';
import { formatFatalError, StartupError } from '../../config/startup-error.js';
import { type Backend, openDataApi, openDirect } from './backend.js';
import { openEmbedded } from './embedded/embedded.js';
import { migrate } from './migrations/migrations.js';

/** Database an operator's command works on, with its migrations applied. */
export interface CommandDatabase {
  /** Connection string of a role with all privileges. */
  readonly adminUrl: string;
  /** Migrations that opening it has just applied. */
  readonly applied: readonly string[];
  readonly close: () => Promise<void>;
}

/**
 * Opens the database the server would use: DATABASE_URL, or the embedded one, whether or not the server is running.
 * @throws {StartupError} if only SUPABASE_URL is set, as its Data API cannot run commands
 */
export async function openForCommand(): Promise<CommandDatabase> {
  const database = parseDatabaseConfig(process.env);
  if (database.kind === 'supabase') {
    throw new StartupError(
      'This command needs a Postgres connection: unset SUPABASE_URL and set DATABASE_URL to the project’s',
    );
  }
  if (database.kind === 'direct') {
    const adminUrl = database.connectionString;
    return { adminUrl, applied: await migrate(adminUrl), close: async () => {} };
  }
  const embedded = await openEmbedded(database.dataDir);
  const { adminUrl } = embedded.cluster;
  return { adminUrl, applied: await migrate(adminUrl), close: embedded.close };
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

/** Runs a command's body with `.env` read; prints an error as one line where an operator can act on it, and exits with 1. */
export async function runCommand(body: () => Promise<void>): Promise<void> {
  try {
    loadEnvironmentFile();
    await body();
  } catch (error) {
    process.exitCode = 1;
    process.stderr.write(`${formatFatalError(error)}\n`);
  }
}
