import { writeFile } from 'node:fs/promises';
import { readMigrations, SUPABASE_DIRECTORY } from '../../src/platform/database/migrations/migration-files.js';
import { parseCommandLine, runCommandLine } from '../command-line.js';
import { readSchemaFiles } from './schema-files.js';
import { renderSchemaSql, SCHEMA_FILE } from './schema-sql.js';

// npm run schema: writes supabase/schema.sql from supabase/schemas.
await runCommandLine('Usage: npm run schema (writes supabase/schema.sql from supabase/schemas)', async (args) => {
  parseCommandLine(args, {});
  const files = await readSchemaFiles(SUPABASE_DIRECTORY);
  await writeFile(SCHEMA_FILE, renderSchemaSql(files, await readMigrations()));
  process.stdout.write(`Wrote supabase/schema.sql from ${files.length} files.\n`);
});
