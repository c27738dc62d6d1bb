import { ApiError } from './errors.js';

/** How much work runs at once, and how much may wait. */
export interface QueueBounds {
  readonly running: number;
  readonly waiting: number;
  /** How much of it may be of one party. */
  readonly waitingOfOne: number;
  /** How long it may wait, in milliseconds; for ever where it is not said. */
  readonly longestWaitMs?: number;
}

/** How soon to try again where too much of one party waits, in seconds. */
const RETRY_AFTER_SECONDS = 2;

/**
 * Creates a queue in which parties take turns: however much of one waits, another waits for one turn of each only.
 *
 * @returns a function that does a party's work when it is its turn and resolves to its result; it throws RATE_LIMITED
 *   where too much of that party waits already, SERVICE_UNAVAILABLE where too much does altogether, or it waited too long
 */
export function createFairQueue(bounds: QueueBounds): <T>(party: string, work: () => Promise<T>) => Promise<T> {
  // The order of the keys is the order of the turns.
  const waiting = new Map<string, (() => void)[]>();
  let waitingCount = 0;
  let runningCount = 0;

  const startNext = () => {
    for (const [party, starts] of waiting) {
      const start = starts.shift();
      waiting.delete(party);
      if (starts.length > 0) waiting.set(party, starts);
      if (start === undefined) continue;
      waitingCount -= 1;
      start();
      return;
    }
    runningCount -= 1;
  };

  const waitForTurn = (party: string): Promise<void> => {
    if (runningCount < bounds.running) {
      runningCount += 1;
      return Promise.resolve();
    }
    const starts = waiting.get(party) ?? [];
    if (starts.length >= bounds.waitingOfOne) {
      throw new ApiError('RATE_LIMITED', { extras: { retry_after: RETRY_AFTER_SECONDS } });
    }
    if (waitingCount >= bounds.waiting) throw new ApiError('SERVICE_UNAVAILABLE');
    waitingCount += 1;
    return new Promise((resolve, reject) => {
      starts.push(resolve);
      waiting.set(party, starts);
      if (bounds.longestWaitMs === undefined) return;
      const timer = setTimeout(() => {
        const place = starts.indexOf(resolve);
        if (place === -1) return;
        starts.splice(place, 1);
        waitingCount -= 1;
        reject(new ApiError('SERVICE_UNAVAILABLE'));
      }, bounds.longestWaitMs);
      timer.unref();
    });
  };

  return async (party, work) => {
    await waitForTurn(party);
    try {
      return await work();
    } finally {
      startNext();
    }
  };
}
