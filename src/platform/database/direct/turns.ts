import { ApiError } from '../../errors.js';
import { createFairQueue } from '../../fair-queue.js';
import { DataApiError } from './data-api-error.js';

/** What heavy work may wait: of one party, altogether, and how long. */
const WAITING = { waiting: 256, waitingOfOne: 32, longestWaitMs: 10_000 };

/**
 * Creates the turns of heavy work, so that it never takes more connections than are its own, and no party all of them.
 *
 * @param running how much of it runs at once
 * @returns a function that does a party's work when it is its turn; it throws a {@link DataApiError} where too much waits
 */
export function createTurns(running: number): <T>(party: string, work: () => Promise<T>) => Promise<T> {
  const takeTurn = createFairQueue({ ...WAITING, running });
  return async (party, work) => {
    try {
      return await takeTurn(party, work);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // As a function of ours would raise it.
      const details = JSON.stringify(error.extras);
      throw new DataApiError(error.statusCode, `PT${error.statusCode}`, error.code, { details });
    }
  };
}
