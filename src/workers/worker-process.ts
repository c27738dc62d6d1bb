import cluster from 'node:cluster';
import type { Counters } from '../auth/limits/counters.js';
import { StartupError } from '../config/startup-error.js';
import type { Front } from '../front.js';
import { type FromSupervisor, type FromWorker, readFromWorker } from './messages.js';
import { WORKER_VARIABLE } from './worker.js';

/** How a process ended. */
interface End {
  readonly code: number | null;
  readonly signal: string | null;
}

/** A worker, as its supervisor sees it. */
export interface WorkerProcess {
  /** Resolves with its address once it listens; rejects with why it does not. */
  readonly listening: Promise<string>;
  readonly ended: Promise<End>;
  /** Has it look for what waits. */
  readonly wake: Front['wake'];
  /** Has it answer its requests and end. */
  readonly stop: () => void;
  /** Ends it at once. */
  readonly kill: () => void;
}

/** Starts a worker, and counts for it what it charges. */
export function startProcess(start: Extract<FromSupervisor, { kind: 'start' }>, counters: Counters): WorkerProcess {
  const worker = cluster.fork({ [WORKER_VARIABLE]: String(start.worker) });
  const tell = (message: FromSupervisor) => {
    // A worker that is gone by now needs no answer.
    if (worker.isConnected()) worker.send(message, () => {});
  };
  const count = async ({ id, calls }: Extract<FromWorker, { kind: 'charges' }>) => {
    const counted = await Promise.all(calls.map(async (charges) => [...(await counters.add(charges))]));
    tell({ kind: 'counts', id, calls: counted });
  };

  const ended = new Promise<End>((resolve) => worker.once('exit', (code, signal) => resolve({ code, signal })));
  // A channel that breaks is followed by the end of the process.
  worker.on('error', () => {});
  const listening = new Promise<string>((resolve, reject) => {
    worker.on('message', (received: unknown) => {
      const message = readFromWorker(received);
      switch (message?.kind) {
        case 'running':
          return tell(start);
        case 'listening':
          return resolve(message.url);
        case 'failed':
          return reject(new StartupError(message.message));
        case 'charges':
          return void count(message);
      }
    });
    void ended.then(() => reject(new StartupError('a worker ended while it started')));
  });
  const signal = (name: NodeJS.Signals) => void worker.process.kill(name);
  return {
    listening,
    ended,
    wake: (round) => tell({ kind: 'wake', round }),
    stop: () => signal('SIGTERM'),
    kill: () => signal('SIGKILL'),
  };
}
