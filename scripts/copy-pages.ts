import { cp } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { PROJECT_ROOT } from '../src/project-root.js';

const COMPILED = ['.ts', '.json'];

// Part of npm run build: puts what a page has besides its scripts next to them.
await cp(join(PROJECT_ROOT, 'src/pages'), join(PROJECT_ROOT, 'dist/src/pages'), {
  recursive: true,
  filter: (path) => !COMPILED.includes(extname(path)),
});
