import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { join } from 'node:path';
import { buildPages } from './build-pages.js';
import { hashSources, PROJECT_ROOT } from './sources.js';
import { BuildError, dropStaleNotes, findProgram, runStep, takeOptions } from './steps.js';

const SIGNALS = ['SIGINT', 'SIGTERM'];
/** Editors save a file in several steps. */
const SETTLE_MS = 100;

function findDevelopmentProgram(name, path) {
  const program = findProgram(name, path);
  if (program === undefined) throw new BuildError(`${name} is not installed: run "npm ci"`);
  return program;
}

/** Bundles the pages now and after each change. */
async function keepPagesBuilt() {
  await buildPages();
  let timer;
  watch(join(PROJECT_ROOT, 'src/web'), { recursive: true }, () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      buildPages().catch((error) => process.stderr.write(`The pages were not built: ${error.message}\n`));
    }, SETTLE_MS);
  });
}

function start(program, args) {
  return spawn(process.execPath, [program, ...args], { cwd: PROJECT_ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
}

// npm run dev: the server from its sources, started again after each change, and the pages bundled and checked along with it.
takeOptions('Usage: npm run dev (starts the server from its sources, again after each change)');
await runStep(async () => {
  const compiler = findDevelopmentProgram('typescript', 'bin/tsc');
  const runner = findDevelopmentProgram('tsx', 'dist/cli.mjs');
  await dropStaleNotes((await hashSources()) ?? {});
  await keepPagesBuilt();
  const pages = start(compiler, ['-p', 'src/web', '--watch', '--preserveWatchOutput']);
  // It keeps the pages in memory: new ones are a reason to start again.
  const server = start(runner, ['watch', '--clear-screen=false', '--include', 'dist/pages/*.html', 'src/server.ts']);

  // Each ends the other; the server has the time it needs to finish its requests.
  for (const signal of SIGNALS) process.on(signal, () => server.kill(signal));
  pages.once('exit', () => server.kill('SIGTERM'));
  const [code] = await once(server, 'exit');
  pages.kill();
  process.exit(code ?? 1);
});
