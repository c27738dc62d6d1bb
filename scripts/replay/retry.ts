import { setTimeout as delay } from 'node:timers/promises';
import { errors } from 'undici';
import { toSystemCode } from '../../src/config/startup-error.js';
import type { Reply } from './connections.js';

const ATTEMPTS = 10;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
const LONGEST_RETRY_AFTER_MS = 60_000;
/** Busy, restarting, or a proxy in front of a server that is. */
const TRANSIENT = new Set([429, 502, 503, 504]);

/** How a request ended that was repeated until it had an answer. */
export interface Outcome {
  /** The answer, or undefined when none came in any attempt. */
  readonly reply: Reply | undefined;
  /** How long the last attempt took. */
  readonly latencyMs: number;
  /** Why there is no answer. */
  readonly problem: string;
}

/** Computes the pause before another attempt: what the server asks for, or an exponential one with jitter. */
function pauseAfter(attempt: number, reply: Reply | undefined): number {
  if (reply?.retryAfterMs !== undefined) return Math.min(reply.retryAfterMs, LONGEST_RETRY_AFTER_MS);
  return Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS) * (0.5 + Math.random() / 2);
}

function describeFailure(error: unknown): string {
  if (error instanceof errors.UndiciError) return error.message;
  return toSystemCode(error) ?? (error instanceof Error ? error.message : String(error));
}

/**
 * Repeats a request while it fails in passing: broken connections, 429, 502, 503 and 504. The request must be safe to
 * repeat, as a lost answer does not say whether it took effect. Written out, as the retry libraries know no `Retry-After`.
 *
 * @param signal ends the pauses, and the attempts with them
 * @param onRetry told before each repetition, and why
 */
export async function sendWithRetries(
  send: () => Promise<Reply>,
  signal: AbortSignal,
  onRetry: (problem: string) => void,
): Promise<Outcome> {
  for (let attempt = 1; ; attempt += 1) {
    const start = performance.now();
    let problem: string;
    let reply: Reply | undefined;
    try {
      reply = await send();
      problem = `HTTP ${reply.status}`;
    } catch (error) {
      problem = describeFailure(error);
    }
    const latencyMs = performance.now() - start;
    if (reply !== undefined && !TRANSIENT.has(reply.status)) return { reply, latencyMs, problem: '' };
    if (attempt === ATTEMPTS || signal.aborted) return { reply: undefined, latencyMs, problem };
    onRetry(problem);
    await delay(pauseAfter(attempt, reply), undefined, { signal }).catch(() => {});
  }
}
