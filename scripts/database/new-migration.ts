import { randomBytes } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StartupError } from '../../src/config/startup-error.js';
import { sealMigration } from '../../src/platform/database/migrations/checksum.js';
import { formatManifest, parseManifest } from '../../src/platform/database/migrations/manifest.js';
import { readMigrationTexts } from '../../src/platform/database/migrations/migration-files.js';
import { createDeclaredDatabase, createMigratedDatabase } from './databases.js';
import { compareDatabases, renderDifference } from './differences.js';
import { renderMigration } from './render-migration.js';
import { joinSchemaFiles, readSchemaFiles } from './schema-files.js';

const NAME = /^[a-z][a-z_]{0,59}$/;

/** Makes a database's name that no other of the cluster has. */
const uniqueName = (prefix: string) => `${prefix}_${randomBytes(6).toString('hex')}`;

/** Returns a migration's name, or refuses it. @throws {StartupError} */
export function requireName(name: string): string {
  if (NAME.test(name)) return name;
  throw new StartupError(
    `A migration's name has lowercase letters and underscores only, at most 60, unlike ${JSON.stringify(name)}`,
  );
}

/** What a command on migrations works with. */
export interface MigrationWork {
  /** The folder `supabase`, or a copy of it. */
  readonly directory: string;
  /** A cluster to make databases in. */
  readonly adminUrl: string;
}

/** A migration that was written. */
export interface WrittenMigration {
  readonly file: string;
  /** Whether it is in the manifest; if not, its author has to complete it. */
  readonly isSealed: boolean;
}

/** Renders a time as the version of a migration, in UTC to the second. */
function toVersion(time: Date): string {
  return time.toISOString().replace(/\D/g, '').slice(0, 14);
}

/** Returns the migration that is not in the manifest yet, if there is one. */
async function findUnsealed(directory: string): Promise<string | undefined> {
  const manifest = parseManifest(await readFile(join(directory, 'migrations.sha256'), 'utf8'));
  const listed = new Set(manifest.map(({ file }) => file));
  const unsealed = [...(await readMigrationTexts(directory)).keys()].filter((file) => !listed.has(file));
  if (unsealed.length > 1)
    throw new StartupError(`Only one migration may be unfinished, but these are: ${unsealed.join(', ')}`);
  return unsealed[0];
}

/** Makes a copy of the migrations in which one is finished, for as long as a body works with it. */
async function withSealed<T>(
  directory: string,
  file: string,
  sql: string,
  body: (copy: string) => Promise<T>,
): Promise<T> {
  const copy = await mkdtemp(join(tmpdir(), 'tokenledger-migration-'));
  try {
    await cp(directory, copy, { recursive: true });
    await writeFile(join(copy, 'migrations', file), sql);
    await writeFile(join(copy, 'migrations.sha256'), formatManifest(await readMigrationTexts(copy)));
    return await body(copy);
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

/**
 * Finishes a migration: proves that it makes what `schemas/` says, ends it with its checksum and lists it in the manifest.
 *
 * @throws {StartupError} where the databases still differ, with what differs
 */
async function seal({ directory, adminUrl }: MigrationWork, file: string, draft: string): Promise<void> {
  const sql = sealMigration(file.slice(0, 14), draft);
  await withSealed(directory, file, sql, async (copy) => {
    const migrated = await createMigratedDatabase(adminUrl, uniqueName('sealed'), copy);
    const declared = await createDeclaredDatabase(adminUrl, uniqueName('sealed_declared'), copy);
    const differences = await compareDatabases(migrated, declared);
    if (differences.length > 0) {
      const lines = differences.flatMap(renderDifference).map((line) => `  ${line}`);
      throw new StartupError(`supabase/schemas differs from what ${file} makes:\n${lines.join('\n')}`);
    }
    await cp(join(copy, 'migrations', file), join(directory, 'migrations', file));
    await cp(join(copy, 'migrations.sha256'), join(directory, 'migrations.sha256'));
  });
}

/** Finishes the migration its author has completed. @throws {StartupError} where there is none, or it is not complete */
export async function sealUnfinished(work: MigrationWork): Promise<WrittenMigration> {
  const file = await findUnsealed(work.directory);
  if (file === undefined)
    throw new StartupError('Every migration is in supabase/migrations.sha256: there is none to seal');
  await seal(work, file, await readFile(join(work.directory, 'migrations', file), 'utf8'));
  return { file, isSealed: true };
}

async function draftMigration(work: MigrationWork, isFirst: boolean) {
  const files = await readSchemaFiles(work.directory);
  if (isFirst)
    return { sql: `-- The first migration: the whole schema.\n\n${joinSchemaFiles(files)}`, isComplete: true };
  const migrated = await createMigratedDatabase(work.adminUrl, uniqueName('migrated'), work.directory);
  const declared = await createDeclaredDatabase(work.adminUrl, uniqueName('declared'), work.directory);
  const differences = await compareDatabases(migrated, declared);
  if (differences.length === 0) {
    throw new StartupError('There is nothing to migrate: supabase/migrations makes what supabase/schemas says');
  }
  return renderMigration(files, differences);
}

/**
 * Writes the next migration from what `schemas/` says and the migrations do not make yet, and seals it where nothing is
 * left to complete.
 *
 * @throws {StartupError} for a bad name, an unfinished migration, and where nothing differs
 */
export async function createMigration(work: MigrationWork, name: string, now = new Date()): Promise<WrittenMigration> {
  const unsealed = await findUnsealed(work.directory);
  if (unsealed !== undefined) {
    throw new StartupError(`Finish supabase/migrations/${unsealed} first, with "npm run migration -- --seal"`);
  }
  const newest = [...(await readMigrationTexts(work.directory)).keys()].at(-1);
  const file = `${toVersion(now)}_${requireName(name)}.sql`;
  if (newest !== undefined && newest.slice(0, 14) >= file.slice(0, 14)) {
    throw new StartupError(`${newest} is later than this machine's clock: set the clock, or wait`);
  }
  const { sql, isComplete } = await draftMigration(work, newest === undefined);
  if (isComplete) await seal(work, file, sql);
  else await writeFile(join(work.directory, 'migrations', file), sql);
  return { file, isSealed: isComplete };
}
