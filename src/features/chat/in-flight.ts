import { setMaxListeners } from 'node:events';
import type { FastifyInstance } from 'fastify';
import { ApiError } from '../../platform/errors.js';

/** How long requests under way may go on once the server is asked to stop. */
const GRACE_MS = 30_000;

/** The chat requests under way, so that the server does not stop before they are settled. */
export interface InFlight {
  /**
   * Runs a request; the server does not stop until it has ended.
   * @throws {ApiError} SERVER_STOPPING
   */
  readonly run: <T>(work: () => Promise<T>) => Promise<T>;
  /** Keeps the server from stopping until work that belongs to a request has ended, even if nobody awaits it. */
  readonly track: <T>(work: Promise<T>) => Promise<T>;
  /** Aborts when the grace period is over. */
  readonly abortSignal: AbortSignal;
}

/** Waits until nothing is under way, including work that was begun meanwhile. */
async function waitForAll(tasks: ReadonlySet<Promise<unknown>>): Promise<void> {
  while (tasks.size > 0) await Promise.allSettled(tasks);
}

/** Builds the register of an application's chat requests: when it closes, it waits for them, then aborts the rest. */
export function createInFlight(app: FastifyInstance, graceMs = GRACE_MS): InFlight {
  const tasks = new Set<Promise<unknown>>();
  const abort = new AbortController();
  setMaxListeners(0, abort.signal);
  let isStopping = false;

  app.addHook('preClose', async () => {
    isStopping = true;
    const timer = setTimeout(() => abort.abort(), graceMs);
    await waitForAll(tasks);
    clearTimeout(timer);
  });

  const track = <T>(work: Promise<T>): Promise<T> => {
    const task = work.finally(() => tasks.delete(task));
    tasks.add(task);
    return task;
  };
  return {
    abortSignal: abort.signal,
    track,
    run: async (work) => {
      if (isStopping) throw new ApiError('SERVER_STOPPING');
      return track(work());
    },
  };
}
