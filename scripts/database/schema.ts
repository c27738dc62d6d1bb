import { writeFile } from 'node:fs/promises';
import { runCommand } from '../../src/platform/database/command.js';
import { readMigrations } from '../../src/platform/database/migrations/migrations.js';
import { SCHEMA_FILE, schemaFile } from '../../src/platform/database/migrations/schema-file.js';

// npm run schema: writes supabase/schema.sql from the migrations.
await runCommand(async () => {
  const migrations = await readMigrations();
  await writeFile(SCHEMA_FILE, schemaFile(migrations));
  process.stdout.write(`Wrote supabase/schema.sql from ${migrations.length} migrations.\n`);
});
