import { openForCommand, runCommand } from '../../src/platform/database/command.js';

// npm run migrate: brings the database of DATABASE_URL, or the embedded one, up to date.
await runCommand(async () => {
  const database = await openForCommand();
  try {
    process.stdout.write(database.applied.length === 0 ? 'Up to date.\n' : `Applied ${database.applied.join(', ')}.\n`);
  } finally {
    await database.close();
  }
});
