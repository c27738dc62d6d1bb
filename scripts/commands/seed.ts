import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { loadEnvironmentFile } from '../../src/config/environment-file.js';
import { StartupError } from '../../src/config/startup-error.js';
import { openForCommand } from '../../src/platform/database/command.js';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { parseCommandLine, runCommandLine } from '../command-line.js';

const USAGE =
  'Usage: npm run seed [-- --anyway] (adds demo people, devices and a month of their usage; --anyway beside real ones)';
/** What the file raises where it must not run. */
const REFUSED = 'PT409';

// npm run seed: fills the database of DATABASE_URL, or the embedded one, with demo data.
await runCommandLine(USAGE, async (args) => {
  const { values } = parseCommandLine(args, { anyway: { type: 'boolean', default: false } });
  loadEnvironmentFile();
  const seed = await readFile(join(PROJECT_ROOT, 'supabase/seed.sql'), 'utf8');
  const database = await openForCommand();
  const client = new pg.Client({ connectionString: database.adminUrl });
  try {
    await client.connect();
    // The file reports by itself, whoever runs it.
    client.on('notice', ({ message }) => process.stdout.write(`${message}\n`));
    if (values.anyway) await client.query(`set tokenledger.seed_anyway = 'on'`);
    await client.query(seed).catch((error: unknown) => {
      if (!(error instanceof pg.DatabaseError) || error.code !== REFUSED) throw error;
      throw new StartupError(`${error.message}; ${error.hint}`, { cause: error });
    });
  } finally {
    await client.end();
    await database.close();
  }
});
