import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openForCommand, runCommand } from '../../src/platform/database/command.js';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { generateTypes } from './generate-types.js';

// npm run types: writes src/platform/database/client/types.ts from the live schema.
await runCommand(async () => {
  const database = await openForCommand();
  try {
    await writeFile(
      join(PROJECT_ROOT, 'src/platform/database/client/types.ts'),
      await generateTypes(database.adminUrl),
    );
  } finally {
    await database.close();
  }
});
