import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { sealMigration } from '../../../src/platform/database/migrations/checksum.js';
import { formatManifest } from '../../../src/platform/database/migrations/manifest.js';
import { readMigrationTexts, SUPABASE_DIRECTORY } from '../../../src/platform/database/migrations/migration-files.js';

/** A copy of the folder `supabase`, to change as a test wants. */
export interface MigrationFolder {
  readonly directory: string;
  readonly read: (path: string) => Promise<string>;
  readonly write: (path: string, text: string) => Promise<void>;
  readonly remove: (path: string) => Promise<void>;
  /** Adds a finished migration, as its author would have. */
  readonly add: (version: string, name: string, sql: string) => Promise<void>;
}

/** Copies the folder `supabase`; the copy goes with the test. */
export async function openMigrationFolder(t: Test): Promise<MigrationFolder> {
  const directory = await mkdtemp(join(tmpdir(), 'tokenledger-supabase-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  await cp(SUPABASE_DIRECTORY, directory, { recursive: true });
  const write = (path: string, text: string) => writeFile(join(directory, path), text);
  return {
    directory,
    read: (path) => readFile(join(directory, path), 'utf8'),
    write,
    remove: (path) => rm(join(directory, path)),
    add: async (version, name, sql) => {
      await write(`migrations/${version}_${name}.sql`, sealMigration(version, sql));
      await write('migrations.sha256', formatManifest(await readMigrationTexts(directory)));
    },
  };
}
