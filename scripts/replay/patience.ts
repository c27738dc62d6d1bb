import { setTimeout as delay } from 'node:timers/promises';
import { systemCodeOf } from '../../src/platform/startup-error.js';
import type { Reply } from './connections.js';

const ATTEMPTS = 10;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
const LONGEST_WISH_MS = 60_000;
/** Busy, restarting, or a proxy in front of a server that is. */
const PASSING = new Set([429, 502, 503, 504]);

/** How a request ended that was sent until it had an answer. */
export interface Outcome {
  /** The answer, or undefined where none came in spite of all patience. */
  readonly reply: Reply | undefined;
  /** How long the last attempt took. */
  readonly latencyMs: number;
  /** Why there is no answer. */
  readonly problem: string;
}

function pauseBefore(attempt: number, wishMs: number | undefined): number {
  if (wishMs !== undefined) return Math.min(wishMs, LONGEST_WISH_MS);
  const longest = Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS);
  // Spread, so that those refused together do not come back together.
  return longest * (0.5 + Math.random() / 2);
}

/**
 * Sends a request again while it fails in passing: broken connections, 429, 502, 503 and 504. The request must be safe
 * to repeat, as a lost answer does not say whether it took effect.
 *
 * @param onRetry told before each repetition, and why
 */
export async function sendPatiently(send: () => Promise<Reply>, onRetry: (problem: string) => void): Promise<Outcome> {
  for (let attempt = 1; ; attempt += 1) {
    const start = performance.now();
    const answer = await send().catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))));
    const latencyMs = performance.now() - start;
    const broken = answer instanceof Error;
    if (!broken && !PASSING.has(answer.status)) return { reply: answer, latencyMs, problem: '' };
    const problem = broken ? (systemCodeOf(answer) ?? answer.message) : `HTTP ${answer.status}`;
    if (attempt === ATTEMPTS) return { reply: undefined, latencyMs, problem };
    onRetry(problem);
    await delay(pauseBefore(attempt, broken ? undefined : answer.retryAfterMs));
  }
}
