import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, gzip } from 'node:zlib';
import { PROJECT_ROOT } from './sources.js';

const WEB = join(PROJECT_ROOT, 'src/web');
const FOUNDATION = join(WEB, 'foundation');
const PAGES = join(PROJECT_ROOT, 'dist/pages');
/** What a page is begun with: a folder of `src/web` that has it is a page, named by the folder. */
const ENTRY = 'main.tsx';
/** Packages whose code is in the bundles, and whose licences therefore are beside them. */
const BUNDLED = ['preact', '@preact/signals', '@preact/signals-core', 'uplot'];
const COMPRESSED = ['.js', '.css', '.svg', '.html', '.txt'];

const brotli = promisify(brotliCompress);
const zip = promisify(gzip);

const OPTIONS = {
  absWorkingDir: PROJECT_ROOT,
  bundle: true,
  minify: true,
  metafile: true,
  // Browsers that know light-dark() and everything older that the pages use.
  target: ['chrome123', 'firefox120', 'safari17.5'],
  jsx: 'automatic',
  jsxImportSource: 'preact',
  banner: { js: '/*! Licences: licences.txt */', css: '/*! Licences: licences.txt */' },
  logLevel: 'error',
};

async function findPages() {
  const folders = await readdir(WEB, { withFileTypes: true });
  const names = folders.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  return names.filter((name) => existsSync(join(WEB, name, ENTRY)));
}

/** Bundles every page; what several need is in chunks of its own. */
function bundlePages(esbuild, pages, outdir) {
  return esbuild.build({
    ...OPTIONS,
    entryPoints: Object.fromEntries(pages.map((page) => [page, join(WEB, page, ENTRY)])),
    outdir,
    format: 'esm',
    splitting: true,
    entryNames: '[name]-[hash]',
    chunkNames: 'chunk-[hash]',
  });
}

/** Bundles the script that runs before the first paint, which a module cannot. */
function bundleBefore(esbuild, outdir) {
  const entryPoints = { before: join(FOUNDATION, 'before-page.ts') };
  return esbuild.build({ ...OPTIONS, entryPoints, outdir, format: 'iife', entryNames: '[name]-[hash]' });
}

const toReference = (path) => `assets/${basename(path)}`;

/** Writes a page's document from the one there is for all. */
async function writeDocument(folder, page, outputs, before) {
  const isEntry = ([, { entryPoint }]) => entryPoint === relative(PROJECT_ROOT, join(WEB, page, ENTRY));
  const [script, { cssBundle, imports }] = Object.entries(outputs).find(isEntry);
  const chunks = imports.filter(({ kind }) => kind === 'import-statement').map(({ path }) => path);
  const styles = cssBundle === undefined ? [] : [`<link rel="stylesheet" href="${toReference(cssBundle)}">`];
  const preloads = chunks.map((path) => `<link rel="modulepreload" href="${toReference(path)}">`);
  const template = await readFile(join(FOUNDATION, 'page.html'), 'utf8');
  const document = template
    .replace('{{styles}}', [...styles, ...preloads].join('\n'))
    .replace('{{before}}', toReference(before))
    .replace('{{script}}', toReference(script));
  await writeFile(join(folder, `${page}.html`), document);
}

async function writeLicences(folder) {
  const licences = BUNDLED.map(async (name) => {
    const library = dirname(dirname(fileURLToPath(import.meta.resolve(name))));
    return `${name}\n\n${await readFile(join(library, 'LICENSE'), 'utf8')}`;
  });
  await writeFile(join(folder, 'licences.txt'), (await Promise.all(licences)).join('\n\n'));
}

/** Puts a compressed copy of each file beside it, so that the server need not compress. */
async function compressFiles(folder) {
  const names = (await readdir(folder)).filter((name) => COMPRESSED.includes(extname(name)));
  for (const path of names.map((name) => join(folder, name))) {
    const content = await readFile(path);
    const [small, smaller] = await Promise.all([zip(content, { level: 9 }), brotli(content)]);
    await Promise.all([writeFile(`${path}.gz`, small), writeFile(`${path}.br`, smaller)]);
  }
}

/**
 * Bundles the pages of `src/web` into `dist/pages`: a document for each, and below `assets/` what they load, named by
 * their content. A server that reads the folder meanwhile finds the old pages or the new ones.
 */
export async function buildPages() {
  // Not there in production, where this file is loaded too, but nothing is built.
  const esbuild = await import('esbuild');
  const next = `${PAGES}.${process.pid}`;
  const assets = join(next, 'assets');
  await mkdir(assets, { recursive: true });
  const pages = await findPages();
  const [bundled, before] = await Promise.all([bundlePages(esbuild, pages, assets), bundleBefore(esbuild, assets)]);
  const [beforeFile] = Object.keys(before.metafile.outputs);
  await Promise.all([
    ...pages.map((page) => writeDocument(next, page, bundled.metafile.outputs, beforeFile)),
    writeLicences(assets),
    copyFile(join(FOUNDATION, 'icon.svg'), join(assets, 'icon.svg')),
  ]);
  await Promise.all([next, assets].map(compressFiles));
  await rm(PAGES, { recursive: true, force: true });
  await rename(next, PAGES);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildPages();
