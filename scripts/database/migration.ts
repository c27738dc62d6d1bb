import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { StartupError } from '../../src/config/startup-error.js';
import { runCommand } from '../../src/platform/database/command.js';
import { readMigrations, SUPABASE_DIRECTORY } from '../../src/platform/database/migrations/migration-files.js';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
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
function readArguments(): string | undefined {
  try {
    const { values, positionals } = parseArgs({
      options: { seal: { type: 'boolean', default: false } },
      allowPositionals: true,
      strict: true,
    });
    const [name, ...others] = positionals;
    if (others.length > 0 || values.seal !== (name === undefined)) throw new StartupError(USAGE);
    return name === undefined ? undefined : requireName(name);
  } catch (error) {
    if (error instanceof StartupError) throw error;
    throw new StartupError(`${error instanceof Error ? error.message : error}\n${USAGE}`, { cause: error });
  }
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
await runCommand(async () => {
  const name = readArguments();
  await withThrowawayCluster(async (adminUrl) => {
    const work = { directory: SUPABASE_DIRECTORY, adminUrl };
    const written = name === undefined ? await sealUnfinished(work) : await createMigration(work, name);
    if (written.isSealed) await regenerate(work);
    process.stdout.write(report(written));
  });
});
