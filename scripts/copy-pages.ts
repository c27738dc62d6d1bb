import { cp } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PROJECT_ROOT } from '../src/platform/project-root.js';

const COMPILED = ['.ts', '.json'];
const PAGES = join(PROJECT_ROOT, 'dist/src/web');
/** The chart library's own files, with its licence, and what they are called beside the page that loads them. */
const CHART_LIBRARY = {
  'dist/uPlot.esm.js': 'uplot.js',
  'dist/uPlot.min.css': 'uplot.css',
  LICENSE: 'uplot.LICENSE',
} as const;

// Part of npm run build: puts what a page has besides its scripts next to them.
await cp(join(PROJECT_ROOT, 'src/web'), PAGES, {
  recursive: true,
  filter: (path) => !COMPILED.includes(extname(path)),
});

const library = dirname(dirname(fileURLToPath(import.meta.resolve('uplot'))));
for (const [file, name] of Object.entries(CHART_LIBRARY)) {
  await cp(join(library, file), join(PAGES, 'dashboard', name));
}
