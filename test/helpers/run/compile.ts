import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';

/** Folders of which everything is compiled into the same place below `dist`. */
const SOURCES = ['src', 'scripts', 'test'];

/** Returns the paths of the files below a folder whose names end as given. */
export async function listFiles(folder: string, ending: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  return names
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => join(folder, name));
}

/**
 * Compiles sources and tests as `tsc` does, file by file, but leaves checking the types to `npm run typecheck`: a second
 * instead of half a minute.
 */
export async function compile(): Promise<void> {
  const files = await Promise.all(SOURCES.map((folder) => listFiles(join(PROJECT_ROOT, folder), '.ts')));
  await build({
    absWorkingDir: PROJECT_ROOT,
    entryPoints: files.flat().filter((file) => !file.endsWith('.d.ts')),
    outdir: 'dist',
    outbase: '.',
    format: 'esm',
    platform: 'node',
    target: 'es2023',
    sourcemap: true,
    logLevel: 'error',
  });
}
