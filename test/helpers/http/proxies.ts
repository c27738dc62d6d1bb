import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';
import { makeDirectory, startProgram } from '../local-program.js';
import type { Test } from '../run/tap.js';

/** Replaces texts of a recipe; each must be there. */
export function changeRecipe(recipe: string, changes: Readonly<Record<string, string>>): string {
  return Object.entries(changes).reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`the recipe has no ${from}`);
    return text.replaceAll(from, to);
  }, recipe);
}

/** Reads a file of `scripts/deploy`, for our addresses. */
export async function readDeployFile(name: string, changes: Readonly<Record<string, string>>): Promise<string> {
  return changeRecipe(await readFile(join(PROJECT_ROOT, 'scripts/deploy', name), 'utf8'), changes);
}

/** Starts nginx in the foreground with a file as it would be in `conf.d`; it ends with the test. */
export async function startNginx(t: Test, configuration: string): Promise<void> {
  const directory = await makeDirectory(t);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path temp;`);
  const file = join(directory, 'nginx.conf');
  await writeFile(
    file,
    `daemon off; master_process off; pid nginx.pid; error_log error.log;
     events {} http { access_log off; ${temporary.join(' ')} ${configuration} }`,
  );
  startProgram(t, 'nginx', ['-p', directory, '-c', file, '-e', 'error.log'], directory);
}

/** Starts Caddy in the foreground with a Caddyfile; it ends with the test. */
export async function startCaddy(t: Test, configuration: string): Promise<void> {
  const directory = await makeDirectory(t);
  const file = join(directory, 'Caddyfile');
  await writeFile(file, `{\n admin off\n}\n${configuration}`);
  startProgram(t, 'caddy', ['run', '--adapter', 'caddyfile', '--config', file], directory);
}
