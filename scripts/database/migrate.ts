import { loadEnvironmentFile } from '../../src/config/environment-file.js';
import { openForCommand } from '../../src/platform/database/command.js';
import { parseCommandLine, runCommandLine } from '../command-line.js';

// npm run migrate: brings the database of DATABASE_URL, or the embedded one, up to date.
await runCommandLine('Usage: npm run migrate (brings the database up to date)', async (args) => {
  parseCommandLine(args, {});
  loadEnvironmentFile();
  const database = await openForCommand();
  try {
    process.stdout.write(database.applied.length === 0 ? 'Up to date.\n' : `Applied ${database.applied.join(', ')}.\n`);
  } finally {
    await database.close();
  }
});
