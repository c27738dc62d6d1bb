import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { buildPages } from './build-pages.js';
import { hashSources, PROJECT_ROOT } from './sources.js';

const DIST = join(PROJECT_ROOT, 'dist');
/** The digests of the sources that `dist/` was made from. */
const MANIFEST = join(DIST, '.build.json');
const PROJECTS = ['tsconfig.build.json', 'src/web', 'src/client'];
/** Code that runs in browsers: its types are checked, and it is bundled. */
const PAGES = /^src\/web\/[^/]+\//;

export const SERVER = join(DIST, 'src/server.js');

/** A reason not to go on that is told in a sentence. */
export class BuildError extends Error {}

/** Finds a program of a development dependency; undefined after `npm prune --omit=dev`. */
export function findProgram(name, path) {
  try {
    return join(dirname(fileURLToPath(import.meta.resolve(`${name}/package.json`))), path);
  } catch {
    return undefined;
  }
}

/** Runs a Node program to its end. */
async function run(program, args) {
  const child = spawn(process.execPath, [program, ...args], { cwd: PROJECT_ROOT, stdio: 'inherit' });
  const [code] = await once(child, 'exit');
  return code;
}

async function readManifest() {
  try {
    return JSON.parse(await readFile(MANIFEST, 'utf8'));
  } catch {
    return {};
  }
}

/** Makes the compiler start afresh when output of it is missing, as it would believe its notes of the last run. */
export async function dropStaleNotes(sources) {
  const compiled = Object.keys(sources).filter((path) => /(?<!\.d)\.ts$/.test(path) && !PAGES.test(path));
  if (compiled.every((path) => existsSync(join(DIST, path.replace(/ts$/, 'js'))))) return;
  await Promise.all(
    ['.tsbuildinfo', '.tsbuildinfo-web', '.tsbuildinfo-client'].map((notes) => rm(join(DIST, notes), { force: true })),
  );
}

/** Removes what was compiled from sources that are gone. */
async function removeOrphans(before, now) {
  const gone = Object.keys(before).filter((path) => path.endsWith('.ts') && !(path in now));
  const outputs = gone.flatMap((path) => ['js', 'js.map', 'd.ts'].map((ending) => path.replace(/ts$/, ending)));
  await Promise.all(outputs.map((path) => rm(join(DIST, path), { force: true })));
}

/**
 * Compiles the server, the commands, the pages and the client into `dist/`.
 * @throws {BuildError} when they do not compile, or there is no compiler
 */
export async function build() {
  const compiler = findProgram('typescript', 'bin/tsc');
  if (compiler === undefined) throw new BuildError('TypeScript is not installed: run "npm ci", then "npm run build"');
  const [before, sources] = [await readManifest(), (await hashSources()) ?? {}];
  await rm(MANIFEST, { force: true });
  await dropStaleNotes(sources);
  await removeOrphans(before, sources);
  const codes = await Promise.all(PROJECTS.map((project) => run(compiler, ['-p', project])));
  if (codes.some((code) => code !== 0)) throw new BuildError('The sources do not compile');
  await buildPages();
  await writeFile(MANIFEST, JSON.stringify(sources));
}

/**
 * Builds when the sources are not those that `dist/` was made from. Where they are not there, or no compiler is, what
 * was built before is taken as it is.
 */
export async function buildIfStale() {
  const sources = await hashSources();
  const isBuilt = existsSync(SERVER);
  if (isBuilt && (sources === undefined || isDeepStrictEqual(sources, await readManifest()))) return;
  if (isBuilt && findProgram('typescript', 'bin/tsc') === undefined) {
    process.stderr.write(
      'The sources have changed since the last build, but TypeScript is not installed: using that build\n',
    );
    return;
  }
  process.stderr.write(isBuilt ? 'Building, as the sources have changed…\n' : 'Building… (first start only)\n');
  await build();
}

/** Runs a step of the build; what went wrong is told in a sentence, and ends the process with exit code 1. */
export async function runStep(step) {
  try {
    await step();
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}

/**
 * Takes the arguments of a command that has no values. `--help` prints the usage line and ends the process; what is not
 * known ends it with exit code 2.
 *
 * @returns the options that were given
 */
export function takeOptions(usage, known = []) {
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(`${usage}\n`);
    process.exit(0);
  }
  const unknown = args.find((arg) => !known.includes(arg));
  if (unknown === undefined) return args;
  const kind = unknown.startsWith('-') ? 'Unknown option' : 'Unexpected argument';
  process.stderr.write(`${kind} '${unknown}'\n${usage}\n`);
  process.exit(2);
}
