import { writeFile } from 'node:fs/promises';
import { runCommand } from '../src/database/command.js';
import { readMigrations } from '../src/database/migrations.js';
import { SCHEMA_FILE, schemaFile } from '../src/database/schema-file.js';

// npm run schema: writes supabase/schema.sql from the migrations.
await runCommand(async () => {
  const migrations = await readMigrations();
  await writeFile(SCHEMA_FILE, schemaFile(migrations));
  process.stdout.write(`Wrote supabase/schema.sql from ${migrations.length} migrations.\n`);
});
