import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Test } from 'tap';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';

const SCRIPTS = join(PROJECT_ROOT, 'dist/scripts');

/** How a command of the project ended. */
export interface ScriptResult {
  readonly code: unknown;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that runs. */
export interface RunningScript {
  readonly signal: (name: NodeJS.Signals) => void;
  /** Resolves once it has ended. */
  readonly ended: Promise<ScriptResult>;
}

/**
 * Starts a built command with a clean environment, in a folder without an `.env`; it ends with the test.
 * @param name an operators' command, or the path of another script below `scripts/`
 */
export function startScript(
  t: Test,
  name: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): RunningScript {
  const path = name.includes('/') ? name : `commands/${name}`;
  const child = spawn(process.execPath, [join(SCRIPTS, `${path}.js`), ...args], {
    cwd: SCRIPTS,
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => {
    child.kill('SIGKILL');
  });
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]).then(
    ([stdout, stderr, [code]]) => ({ code, stdout, stderr }),
  );
  return { signal: (signal) => child.kill(signal), ended };
}

/** Runs a command to its end, see {@link startScript}. */
export function runScript(...script: Parameters<typeof startScript>): Promise<ScriptResult> {
  return startScript(...script).ended;
}
