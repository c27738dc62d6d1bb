import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function findUpwards(directory: string): string {
  if (existsSync(join(directory, 'package.json'))) return directory;
  const parent = dirname(directory);
  if (parent === directory) throw new Error('package.json not found above the program');
  return findUpwards(parent);
}

/** The project's folder, whether the program runs from `src` or from `dist`. */
export const PROJECT_ROOT = findUpwards(dirname(fileURLToPath(import.meta.url)));
