import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';

/** One of the servers, which is killed and comes back; its clients know the address of its proxy only. */
export interface ChaosServer {
  readonly name: string;
  /** Where it listens now, or listened last. */
  readonly port: () => number;
  readonly isRunning: () => boolean;
  /** Starts it where it does not run, and waits until it is ready. @throws where it ends instead */
  readonly start: () => Promise<void>;
  /** Ends it with a signal and waits until it is gone. */
  readonly end: (signal: 'SIGKILL' | 'SIGTERM') => Promise<void>;
}

async function findFreePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

/** Describes a server; it is not started yet. @param directory where it runs, and where its log is kept */
export function createChaosServer(name: string, directory: string, environment: NodeJS.ProcessEnv): ChaosServer {
  let port = 0;
  let child: ChildProcess | undefined;
  const isRunning = () => child !== undefined && child.exitCode === null && child.signalCode === null;
  return {
    name,
    port: () => port,
    isRunning,
    start: async () => {
      if (isRunning()) return;
      port = await findFreePort();
      const log = await open(join(directory, `${name}.log`), 'a');
      const started = spawn(process.execPath, [join(PROJECT_ROOT, 'dist/src/server.js')], {
        cwd: directory,
        env: { PATH: process.env['PATH'], PORT: String(port), npm_lifecycle_event: 'chaos', ...environment },
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
