import { setMaxListeners } from 'node:events';
import type { FastifyInstance } from 'fastify';
import { ApiError } from '../../platform/errors.js';

/** How long running requests may go on once the server is asked to stop. */
const GRACE_MS = 30_000;

/** The chat requests under way, so that the server does not stop before they are settled. */
export interface RunningChats {
  /**
   * Begins a request, and keeps the server until it has ended.
   * @throws {ApiError} SERVER_STOPPING
   */
  readonly begin: <T>(work: () => Promise<T>) => Promise<T>;
  /** Keeps the server until work that belongs to a request has ended, whoever waits for it. */
  readonly keep: <T>(work: Promise<T>) => Promise<T>;
  /** Aborted when the time to end in peace is over. */
  readonly cutOff: AbortSignal;
}

/** Waits until nothing is running, also of what was begun by what ran. */
async function settled(running: ReadonlySet<Promise<unknown>>): Promise<void> {
  while (running.size > 0) await Promise.allSettled(running);
}

/** Builds the register of an application: when it closes, it waits, and then cuts off what is left. */
export function createRunningChats(app: FastifyInstance, graceMs = GRACE_MS): RunningChats {
  const running = new Set<Promise<unknown>>();
  const cutOff = new AbortController();
  setMaxListeners(0, cutOff.signal);
  let stopping = false;

  app.addHook('preClose', async () => {
    stopping = true;
    const timer = setTimeout(() => cutOff.abort(), graceMs);
    await settled(running);
    clearTimeout(timer);
  });

  const keep = <T>(work: Promise<T>): Promise<T> => {
    const task = work.finally(() => running.delete(task));
    running.add(task);
    return task;
  };
  return {
    cutOff: cutOff.signal,
    keep,
    begin: async (work) => {
      if (stopping) throw new ApiError('SERVER_STOPPING');
      return keep(work());
    },
  };
}
