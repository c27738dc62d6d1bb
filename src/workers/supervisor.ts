import cluster from 'node:cluster';
import { extname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { createLocalCounters } from '../auth/limits/counters.js';
import type { Config } from '../config/config.js';
import { StartupError } from '../config/startup-error.js';
import type { Front } from '../front.js';
import type { Backend } from '../platform/database/backend.js';
import { listenForJobMetrics } from '../platform/metrics/listen.js';
import { startProcess, type WorkerProcess } from './worker-process.js';

/** Pauses before a worker that ended is started again: the first, and the longest after several. */
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 10_000;
/** A worker that lived this long does not end because of how it was started. */
const SOUND_MS = 60_000;
/** When workers that do not stop are killed, so that Postgres is still stopped within the server's own limit. */
const STOP_LIMIT_MS = 43_000;

/** Several processes that answer requests. */
export interface Workers extends Front {
  /** Replaces the workers one by one, each once its successor listens. A failure is logged, and leaves the rest as they are. */
  readonly reload: () => Promise<void>;
}

/**
 * Starts the workers, which listen on one port, and keeps them running: one that ends is started again, ever more slowly.
 * What must be one for all is here: the embedded Postgres, the background jobs and what limits are counted with.
 *
 * @returns once all listen
 * @throws {StartupError} why one could not start
 */
export async function superviseWorkers(config: Config, backend: Backend, log: Logger): Promise<Workers> {
  const counters = createLocalCounters();
  const { sharedUrl, jwtSecret } = backend;
  const embedded = sharedUrl === undefined ? undefined : { connectionString: sharedUrl, jwtSecret };
  const stopping = new AbortController();
  const running = new Map<number, WorkerProcess>();
  const alive = new Set<WorkerProcess>();
  const pauses = new Map<number, number>();
  let reloading = Promise.resolve();
  let stopMetrics = () => {};

  // Each worker accepts connections itself. Handed over one by one, those that a worker had not taken when it died would
  // stay open, and nobody would ever answer them.
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  cluster.setupPrimary({
    exec: fileURLToPath(new URL(`../server${extname(import.meta.url)}`, import.meta.url)),
    args: [],
  });

  const start = async (worker: number): Promise<WorkerProcess> => {
    const started = startProcess({ kind: 'start', worker, ...(embedded && { embedded }) }, counters);
    alive.add(started);
    void started.ended.then(() => alive.delete(started));
    await started.listening;
    running.set(worker, started);
    const startedAt = performance.now();
    void started.ended.then((end) => {
      if (running.get(worker) !== started || stopping.signal.aborted) return;
      log.error({ worker, ...end }, 'a worker ended; starting it again');
      if (performance.now() - startedAt > SOUND_MS) pauses.delete(worker);
      void revive(worker, started);
    });
    return started;
  };

  const revive = async (worker: number, ended: WorkerProcess): Promise<void> => {
    const pause = pauses.get(worker) ?? FIRST_PAUSE_MS;
    pauses.set(worker, Math.min(2 * pause, LONGEST_PAUSE_MS));
    await delay(pause, undefined, { signal: stopping.signal }).catch(() => {});
    // It may have been replaced meanwhile.
    if (stopping.signal.aborted || running.get(worker) !== ended) return;
    await start(worker).catch((error: unknown) => {
      if (stopping.signal.aborted) return;
      log.error({ worker, reason: error instanceof Error ? error.message : 'unknown' }, 'a worker did not start');
      return revive(worker, ended);
    });
  };

  const replaceAll = async () => {
    const replaced = [...running];
    for (const [worker, old] of replaced) {
      if (stopping.signal.aborted) return;
      await start(worker);
      old.stop();
    }
    await Promise.all(replaced.map(([, { ended }]) => ended));
    log.info('all workers were replaced');
  };

  const close = async () => {
    stopping.abort();
    stopMetrics();
    for (const worker of alive) worker.stop();
    const timer = setTimeout(() => {
      for (const worker of alive) worker.kill();
    }, STOP_LIMIT_MS);
    while (alive.size > 0) await Promise.all([...alive].map(({ ended }) => ended));
    clearTimeout(timer);
  };

  try {
    stopMetrics = await listenForJobMetrics(config.metrics);
    const numbers = Array.from({ length: config.workers }, (_, position) => position + 1);
    const [first] = await Promise.all(numbers.map(start));
    return {
      url: (await first?.listening) ?? '',
      wake: (round) => {
        const [worker] = running.values();
        worker?.wake(round);
      },
      reload: () => {
        reloading = reloading.then(replaceAll).catch((error: unknown) => {
          log.error({ reason: error instanceof Error ? error.message : 'unknown' }, 'the workers were not replaced');
        });
        return reloading;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error instanceof StartupError ? error : new StartupError('a worker could not be started', { cause: error });
  }
}
