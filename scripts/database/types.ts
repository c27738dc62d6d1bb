import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadEnvironmentFile } from '../../src/config/environment-file.js';
import { openForCommand } from '../../src/platform/database/command.js';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { parseCommandLine, runCommandLine } from '../command-line.js';
import { generateTypes, TYPES_FILE } from './generate-types.js';

// npm run types: writes the types of the functions of the server's database.
await runCommandLine('Usage: npm run types (writes the types of the database’s functions)', async (args) => {
  parseCommandLine(args, {});
  loadEnvironmentFile();
  const database = await openForCommand();
  try {
    await writeFile(join(PROJECT_ROOT, TYPES_FILE), await generateTypes(database.adminUrl));
  } finally {
    await database.close();
  }
});
