import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../../src/platform/project-root.js';

/** How long a test file may take: more than the longest does on a busy machine. */
export const FILE_TIMEOUT_S = 900;

/** Starts Node in the project's folder; what ends us ends it too. */
export function startNode(
  args: readonly string[],
  stdio: StdioOptions,
  environment: NodeJS.ProcessEnv = {},
): ChildProcess {
  const child = spawn(process.execPath, args, {
    cwd: PROJECT_ROOT,
    stdio,
    // Node 22 keeps what it compiled there, as every test file loads it again; Node 20 takes no notice.
    env: {
      TAP_TIMEOUT: String(FILE_TIMEOUT_S),
      NODE_COMPILE_CACHE: join(PROJECT_ROOT, 'node_modules/.cache/node-compile'),
      ...process.env,
      ...environment,
    },
  });
  const forward = (signal: NodeJS.Signals) => {
    child.kill(signal);
  };
  // Ctrl-C reaches the child by itself: it ends, and we after it.
  const ignore = () => {};
  process.on('SIGTERM', forward).on('SIGHUP', forward).on('SIGINT', ignore);
  child.once('exit', () => process.off('SIGTERM', forward).off('SIGHUP', forward).off('SIGINT', ignore));
  return child;
}

/** Runs Node in the foreground to its end. @returns the exit code, 1 where a signal ended it */
export async function runNode(args: readonly string[]): Promise<number> {
  const [code] = await once(startNode(args, 'inherit'), 'exit');
  return typeof code === 'number' ? code : 1;
}
