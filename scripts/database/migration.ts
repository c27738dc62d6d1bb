import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readMigrations, SUPABASE_DIRECTORY } from '../../src/platform/database/migrations/migration-files.js';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { parseCommandLine, runCommandLine, UsageError } from '../command-line.js';
import { createMigratedDatabase, withThrowawayCluster } from './databases.js';
import { generateTypes, TYPES_FILE } from './generate-types.js';
import {
  createMigration,
  type MigrationWork,
  requireName,
  sealUnfinished,
  type WrittenMigration,
} from './new-migration.js';
import { readSchemaFiles } from './schema-files.js';
import { renderSchemaSql, SCHEMA_FILE } from './schema-sql.js';

const USAGE = 'Usage: npm run migration -- <name>, or npm run migration -- --seal';

/** Reads the command line: a name, or --seal. */
function readArguments(args: readonly string[]): string | undefined {
  const { values, positionals } = parseCommandLine(args, { seal: { type: 'boolean', default: false } }, 1);
  const [name] = positionals;
  if (values.seal !== (name === undefined)) throw new UsageError('Give the migration a name, or say --seal');
  return name === undefined ? undefined : requireName(name);
}

/** Writes what is generated from the migrations and the schema anew. */
async function regenerate({ directory, adminUrl }: MigrationWork): Promise<void> {
  const sql = renderSchemaSql(await readSchemaFiles(directory), await readMigrations(directory));
  await writeFile(SCHEMA_FILE, sql);
  const url = await createMigratedDatabase(adminUrl, 'typed', directory);
  await writeFile(join(PROJECT_ROOT, TYPES_FILE), await generateTypes(url));
}

function report({ file, isSealed }: WrittenMigration): string {
  return isSealed
    ? `Wrote supabase/migrations/${file}, supabase/schema.sql and ${TYPES_FILE}.\n`
    : `Wrote supabase/migrations/${file}. Complete it where it says so, then run "npm run migration -- --seal".\n`;
}

// npm run migration -- <name>: writes the next migration from what was changed in supabase/schemas.
await runCommandLine(USAGE, async (args) => {
  const name = readArguments(args);
  await withThrowawayCluster(async (adminUrl) => {
    const work = { directory: SUPABASE_DIRECTORY, adminUrl };
    const written = name === undefined ? await sealUnfinished(work) : await createMigration(work, name);
    if (written.isSealed) await regenerate(work);
    process.stdout.write(report(written));
  });
});
