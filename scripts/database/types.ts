import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openForCommand, runCommand } from '../../src/platform/database/command.js';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { generateTypes, TYPES_FILE } from './generate-types.js';

// npm run types: writes the types of the functions of the server's database.
await runCommand(async () => {
  const database = await openForCommand();
  try {
    await writeFile(join(PROJECT_ROOT, TYPES_FILE), await generateTypes(database.adminUrl));
  } finally {
    await database.close();
  }
});
