import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StartupError } from '../../../config/startup-error.js';
import { PROJECT_ROOT } from '../../project-root.js';
import { parseRecord } from './checksum.js';
import { findManifestProblems, parseManifest } from './manifest.js';

/** The folder that holds `migrations/` and its manifest, `migrations.sha256`. */
export const SUPABASE_DIRECTORY = join(PROJECT_ROOT, 'supabase');

export interface Migration {
  /** UTC time the file name starts with; migrations run in its order. */
  readonly version: string;
  readonly name: string;
  readonly sql: string;
  /** What the database notes when it runs: the SHA-256 of its text, in hex. */
  readonly sha256: string;
}

/** Reads the texts of the migrations by file name, oldest first. */
export async function readMigrationTexts(directory = SUPABASE_DIRECTORY): Promise<Map<string, string>> {
  const folder = join(directory, 'migrations');
  const files = (await readdir(folder)).filter((file) => file.endsWith('.sql')).sort();
  return new Map(
    await Promise.all(
      files.map(async (file): Promise<[string, string]> => [file, await readFile(join(folder, file), 'utf8')]),
    ),
  );
}

/**
 * Reads the migrations, oldest first.
 *
 * @throws {StartupError} with a line for each file that is not as the manifest says
 */
export async function readMigrations(directory = SUPABASE_DIRECTORY): Promise<Migration[]> {
  const files = await readMigrationTexts(directory);
  const manifest = parseManifest(await readFile(join(directory, 'migrations.sha256'), 'utf8'));
  const problems = findManifestProblems(manifest, files);
  if (problems.length > 0) throw new StartupError(problems.join('\n'));
  return [...files].map(([file, sql]) => {
    const [version = '', name = ''] = file.replace(/\.sql$/, '').split(/_(.*)/);
    return { version, name, sql, sha256: parseRecord(sql)?.sha256 ?? '' };
  });
}

let expected: Promise<Migration[]> | undefined;

/** Returns the migrations a database must have for this program; they are read once. */
export function expectedMigrations(): Promise<Migration[]> {
  // The files do not change under a running program, and readiness is asked often.
  expected ??= readMigrations();
  return expected;
}
