import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyBaseLogger } from 'fastify';
import { ApiError } from '../../../platform/errors.js';
import type { RunningChats } from '../in-flight.js';
import type { Bill, ChatMeter, Settlement } from './chat-meter.js';

/** How long somebody waits for a settlement; the attempts go on behind it. */
const PATIENCE_MS = 5_000;
/** Attempts end before the hold does: from then on maintenance settles it. */
const ATTEMPTS_MS = 4 * 60_000;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5_000;

/** Nothing was billed: the hold is given back. */
export const NOTHING: Bill = { inputTokens: 0, outputTokens: 0, provenance: 'provider_final' };

/**
 * Settles a hold, and does not give up while the database is away: settling twice is settling once.
 * @throws {ApiError} SERVICE_UNAVAILABLE where that takes longer than somebody should wait
 */
export type Settler = (holdId: string, bill: Bill) => Promise<Settlement>;

export function createSettler(meter: ChatMeter, running: RunningChats): Settler {
  const attempt = async (holdId: string, bill: Bill): Promise<Settlement> => {
    const end = Date.now() + ATTEMPTS_MS;
    for (let waitMs = FIRST_DELAY_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_DELAY_MS)) {
      try {
        return await meter.settle(holdId, bill);
      } catch (error) {
        if (Date.now() > end || running.cutOff.aborted) throw error;
        await delay(waitMs);
      }
    }
  };
  return async (holdId, bill) => {
    const settled = running.keep(attempt(holdId, bill));
    settled.catch(() => {});
    const impatient = new AbortController();
    const tooLong = delay(PATIENCE_MS, undefined, { signal: impatient.signal }).then(
      () => Promise.reject(new ApiError('SERVICE_UNAVAILABLE', { cause: new Error('settling takes too long') })),
      () => settled,
    );
    try {
      return await Promise.race([settled, tooLong]);
    } finally {
      impatient.abort();
    }
  };
}

/** Gives a hold back that nothing was billed on; where the database is away, the attempts go on behind it. */
export async function release(settle: Settler, holdId: string, log: FastifyBaseLogger): Promise<void> {
  await settle(holdId, NOTHING).catch((error: unknown) => log.warn({ err: error }, 'a hold was not given back yet'));
}
