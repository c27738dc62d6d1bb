import { writeFile } from 'node:fs/promises';
import { runCommand } from '../../src/platform/database/command.js';
import { readMigrations, SUPABASE_DIRECTORY } from '../../src/platform/database/migrations/migration-files.js';
import { readSchemaFiles } from './schema-files.js';
import { renderSchemaSql, SCHEMA_FILE } from './schema-sql.js';

// npm run schema: writes supabase/schema.sql from supabase/schemas.
await runCommand(async () => {
  const files = await readSchemaFiles(SUPABASE_DIRECTORY);
  await writeFile(SCHEMA_FILE, renderSchemaSql(files, await readMigrations()));
  process.stdout.write(`Wrote supabase/schema.sql from ${files.length} files.\n`);
});
