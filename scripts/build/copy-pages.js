import { cp } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PROJECT_ROOT } from './sources.js';

const COMPILED = ['.ts', '.json'];
const PAGES = join(PROJECT_ROOT, 'dist/src/web');
/** The chart library's own files, with its licence, and their names beside the page that loads them. */
const CHART_LIBRARY = {
  'dist/uPlot.esm.js': 'uplot.js',
  'dist/uPlot.min.css': 'uplot.css',
  LICENSE: 'uplot.LICENSE',
};

/** Puts the documents, styles and pictures of the pages next to their compiled scripts. */
export async function copyPages() {
  await cp(join(PROJECT_ROOT, 'src/web'), PAGES, {
    recursive: true,
    filter: (path) => !COMPILED.includes(extname(path)),
  });
  const library = dirname(dirname(fileURLToPath(import.meta.resolve('uplot'))));
  for (const [file, name] of Object.entries(CHART_LIBRARY)) {
    await cp(join(library, file), join(PAGES, 'dashboard', name));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await copyPages();
