import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';

/** The project's folder. */
export const PROJECT_ROOT = join(import.meta.dirname, '../..');

/** Everything `npm run build` reads. Dependencies are told by their versions. */
const FOLDERS = ['src', 'scripts'];
const FILES = ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json'];

async function listFiles(folder) {
  const entries = await readdir(join(PROJECT_ROOT, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) =>
      relative(PROJECT_ROOT, join(entry.parentPath ?? entry.path, entry.name))
        .split(sep)
        .join('/'),
    );
}

async function hashFile(path) {
  const content = await readFile(join(PROJECT_ROOT, path));
  return [path, createHash('sha256').update(content).digest('base64url')];
}

/**
 * Hashes the sources, as times of change say nothing once a tree was cloned or copied.
 * @returns a digest for each path, or undefined where there are no sources
 */
export async function hashSources() {
  if (!FOLDERS.every((folder) => existsSync(join(PROJECT_ROOT, folder)))) return undefined;
  const files = FILES.filter((file) => existsSync(join(PROJECT_ROOT, file)));
  const paths = [...files, ...(await Promise.all(FOLDERS.map(listFiles))).flat()];
  return Object.fromEntries(await Promise.all(paths.sort().map(hashFile)));
}
