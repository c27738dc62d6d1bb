import { readDatabaseConfig } from '../../config/config.js';
import { loadEnvironmentFile } from '../../config/environment-file.js';
import { formatFatalError, StartupError } from '../startup-error.js';
import { type Backend, openDirect, supabaseClient } from './backend.js';
import { openEmbedded } from './embedded/embedded.js';
import { migrate } from './migrations/migrations.js';

/** A database an operator's command works on, with its migrations applied. */
export interface CommandDatabase {
  /** Connection string with the right to do everything. */
  readonly adminUrl: string;
  /** Migrations applied just now. */
  readonly applied: readonly string[];
  readonly close: () => Promise<void>;
}

/**
 * Opens the database the server would use: DATABASE_URL, or the embedded one, beside a running server or alone.
 * @throws {StartupError} with SUPABASE_URL only, as its Data API cannot run commands
 */
export async function openForCommand(): Promise<CommandDatabase> {
  const database = readDatabaseConfig(process.env);
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

/** A client of the server's database, whichever set-up it has, for commands that only call its functions. */
export async function openClientForCommand(): Promise<Pick<Backend, 'database' | 'close'>> {
  const database = readDatabaseConfig(process.env);
  if (database.kind === 'supabase') {
    return { database: supabaseClient(database.url, database.secretKey), close: async () => {} };
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

/** Runs a command's body: reads `.env` first and prints what an operator can act on as one line, with exit code 1. */
export async function runCommand(body: () => Promise<void>): Promise<void> {
  try {
    loadEnvironmentFile();
    await body();
  } catch (error) {
    process.exitCode = 1;
    process.stderr.write(`${formatFatalError(error)}
`);
  }
}
