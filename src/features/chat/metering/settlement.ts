import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyBaseLogger } from 'fastify';
import { ApiError } from '../../../platform/errors.js';
import type { InFlight } from '../in-flight.js';
import type { ChatMeter, Hold, Settlement, UsageReport } from './chat-meter.js';

/** How long a request waits for its settlement; the attempts go on in the background. */
const SETTLE_TIMEOUT_MS = 5_000;
/** Attempts end before the hold expires: from then on maintenance settles it. */
const RETRY_PERIOD_MS = 4 * 60_000;
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 5_000;

/** Reports that nothing is billed: the whole hold is given back. */
export const ZERO_USAGE: UsageReport = { inputTokens: 0, outputTokens: 0, provenance: 'provider_final' };

/**
 * Settles a hold, and does not give up while the database is out of reach: settling twice is settling once.
 * @throws {ApiError} SERVICE_UNAVAILABLE where that takes longer than a request should wait
 */
export type Settle = (holdId: string, report: UsageReport) => Promise<Settlement>;

/** Builds the function that settles holds; the server does not stop while attempts are under way. */
export function createSettle(meter: ChatMeter, inFlight: InFlight): Settle {
  const settleWithRetries = async (holdId: string, report: UsageReport): Promise<Settlement> => {
    const deadline = performance.now() + RETRY_PERIOD_MS;
    for (let waitMs = FIRST_DELAY_MS; ; waitMs = Math.min(waitMs * 2, MAX_DELAY_MS)) {
      try {
        return await meter.settle(holdId, report);
      } catch (error) {
        if (performance.now() > deadline || inFlight.abortSignal.aborted) throw error;
        await delay(waitMs);
      }
    }
  };
  return async (holdId, report) => {
    const settlement = inFlight.track(settleWithRetries(holdId, report));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new ApiError('SERVICE_UNAVAILABLE', { cause: new Error('settling takes too long') }));
      }, SETTLE_TIMEOUT_MS);
      settlement.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  };
}

/** Returns what a request is billed of which is not known what became of it upstream: all that was held for it. */
export function toLostUsage(hold: Hold, inputTokens: number, upstreamId: string | undefined): UsageReport {
  return { inputTokens, outputTokens: hold.outputTokens, provenance: 'estimated', upstreamId };
}

/** Settles a hold nobody waits for; while the database is out of reach, attempts go on in the background. */
export async function settleUnawaited(
  settle: Settle,
  holdId: string,
  report: UsageReport,
  log: FastifyBaseLogger,
): Promise<void> {
  await settle(holdId, report).catch((error: unknown) => log.warn({ err: error }, 'a hold is not settled yet'));
}

/** Gives back a hold on which nothing is billed; while the database is out of reach, attempts go on in the background. */
export async function release(settle: Settle, holdId: string, log: FastifyBaseLogger): Promise<void> {
  await settle(holdId, ZERO_USAGE).catch((error: unknown) => log.warn({ err: error }, 'a hold was not given back yet'));
}
