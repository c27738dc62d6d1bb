import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { loadEnvironmentFile } from '../../src/config/environment-file.js';
import { openForCommand } from '../../src/platform/database/command.js';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { parseCommandLine, runCommandLine } from '../command-line.js';

const USAGE = 'Usage: npm run seed (adds demo people, devices and a month of their usage)';

// npm run seed: fills the database of DATABASE_URL, or the embedded one, with demo data.
await runCommandLine(USAGE, async (args) => {
  parseCommandLine(args, {});
  loadEnvironmentFile();
  const seed = await readFile(join(PROJECT_ROOT, 'supabase/seed.sql'), 'utf8');
  const database = await openForCommand();
  const client = new pg.Client({ connectionString: database.adminUrl });
  try {
    await client.connect();
    // The file reports by itself, whoever runs it.
    client.on('notice', ({ message }) => process.stdout.write(`${message}\n`));
    await client.query(seed);
    process.stdout.write(
      'Register with hardware_fingerprint demo-device-19 to act as a demo device; the others belong to demo people.\n',
    );
  } finally {
    await client.end();
    await database.close();
  }
});
