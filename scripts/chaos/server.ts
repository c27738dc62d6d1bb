import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { CLOCK_VARIABLE } from './clock.js';
import { findFreePort } from './ports.js';
import { listFamily, sendSignal } from './processes.js';

/** One of the servers, which is killed and comes back; its clients know the address of its proxy only. */
export interface ChaosServer {
  readonly name: string;
  /** Where it listens now, or listened last. */
  readonly port: () => number;
  readonly isRunning: () => boolean;
  /** Whether several processes answer. */
  readonly hasWorkers: boolean;
  /** Has it replace its workers. */
  readonly reload: () => void;
  /** Kills one of its workers, which it starts again. */
  readonly killWorker: (choose: (workers: readonly number[]) => number) => Promise<void>;
  /** Sets by how many milliseconds its clock is ahead. */
  readonly setClock: (milliseconds: number) => Promise<void>;
  /** Starts it where it does not run, and waits until it is ready. @throws where it ends instead */
  readonly start: () => Promise<void>;
  /** Ends it with a signal and waits until it is gone. */
  readonly end: (signal: 'SIGKILL' | 'SIGTERM') => Promise<void>;
}

const CLOCK_PRELOAD = new URL('clock-preload.js', import.meta.url).href;

/**
 * Describes a server; it is not started yet.
 * @param directory where it runs, and where its log is kept
 * @param keepsPort whether it comes back where it was
 */
export function createChaosServer(
  name: string,
  directory: string,
  environment: NodeJS.ProcessEnv,
  keepsPort = false,
): ChaosServer {
  let port = 0;
  let child: ChildProcess | undefined;
  const clock = join(directory, `${name}.clock`);
  const isRunning = () => child !== undefined && child.exitCode === null && child.signalCode === null;
  return {
    name,
    port: () => port,
    isRunning,
    hasWorkers: environment['WORKERS'] !== undefined,
    reload: () => void child?.kill('SIGHUP'),
    killWorker: async (choose) => {
      const [, ...workers] = child?.pid === undefined || !isRunning() ? [] : await listFamily(child.pid);
      if (workers.length > 0) sendSignal(choose(workers), 'SIGKILL');
    },
    setClock: (milliseconds) => writeFile(clock, String(milliseconds)),
    start: async () => {
      if (isRunning()) return;
      if (!keepsPort || port === 0) port = await findFreePort();
      const log = await open(join(directory, `${name}.log`), 'a');
      const started = spawn(process.execPath, [join(PROJECT_ROOT, 'dist/src/server.js')], {
        cwd: directory,
        env: {
          PATH: process.env['PATH'],
          PORT: String(port),
          npm_lifecycle_event: 'chaos',
          NODE_OPTIONS: `--import ${CLOCK_PRELOAD}`,
          [CLOCK_VARIABLE]: clock,
          ...environment,
        },
        stdio: ['ignore', log.fd, log.fd, 'ipc'],
      });
      child = started;
      const ended = once(started, 'exit').then(([code]) => {
        throw new Error(`the server did not start (exit code ${String(code)})`);
      });
      try {
        await Promise.race([once(started, 'message'), ended]);
      } finally {
        ended.catch(() => {});
        await log.close();
      }
    },
    end: async (signal) => {
      if (child === undefined || !isRunning()) return;
      const ended = once(child, 'exit');
      child.kill(signal);
      await ended;
    },
  };
}
