import { Agent, request } from 'undici';
import { ADDRESS_NOT_ALLOWED, lookupPublic, namesPrivateAddress } from './addresses.js';

const ATTEMPT_LIMIT_MS = 15_000;
/** More than this of an answer is not read: nobody looks at it. */
const ANSWER_LIMIT_BYTES = 64 * 1024;
const LONGEST_WAIT_SECONDS = 3_600;

/** How an attempt ended. */
export interface Attempt {
  readonly outcome: 'delivered' | 'failed' | 'gone';
  readonly status?: number;
  /** Why it failed, as a code. */
  readonly failure?: string;
  /** How long the endpoint asks to be left alone. */
  readonly waitSeconds?: number;
}

/** Sends signed messages by POST, one attempt each. */
export interface WebhookSender {
  readonly send: (url: string, headers: Record<string, string>, body: string, signal: AbortSignal) => Promise<Attempt>;
  readonly close: () => Promise<void>;
}

function toWaitSeconds(header: string | string[] | undefined): number | undefined {
  if (typeof header !== 'string') return undefined;
  const seconds = Number(header);
  const wait = Number.isFinite(seconds) ? seconds : (Date.parse(header) - Date.now()) / 1_000;
  return wait > 0 ? Math.min(Math.ceil(wait), LONGEST_WAIT_SECONDS) : undefined;
}

function toFailure(error: unknown): string {
  if (!(error instanceof Error)) return 'UNKNOWN';
  if (error.name === 'TimeoutError') return 'TIMEOUT';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}

/** Tells how an answer ends an attempt: 410 Gone asks for no more events; a redirect is not followed. */
function toAttempt(status: number, retryAfter: string | string[] | undefined): Attempt {
  if (status >= 200 && status < 300) return { outcome: 'delivered', status };
  if (status === 410) return { outcome: 'gone', status, failure: 'GONE' };
  const waitSeconds = toWaitSeconds(retryAfter);
  return { outcome: 'failed', status, failure: 'STATUS', ...(waitSeconds !== undefined && { waitSeconds }) };
}

/**
 * Builds what sends webhooks. Names are resolved for each connection, which goes to the address that was checked.
 * @param allowsPrivate whether addresses of this machine and its networks may be reached
 */
export function createWebhookSender(allowsPrivate: boolean): WebhookSender {
  const agent = new Agent({
    connect: { timeout: 5_000, ...(!allowsPrivate && { lookup: lookupPublic }) },
    headersTimeout: ATTEMPT_LIMIT_MS,
    bodyTimeout: ATTEMPT_LIMIT_MS,
    maxResponseSize: ANSWER_LIMIT_BYTES,
    pipelining: 0,
  });
  return {
    send: async (url, headers, body, signal) => {
      // Kept while private addresses and plain HTTP were allowed.
      if (!allowsPrivate && (!url.startsWith('https:') || namesPrivateAddress(new URL(url))))
        return { outcome: 'failed', failure: ADDRESS_NOT_ALLOWED };
      try {
        const answer = await request(url, {
          dispatcher: agent,
          method: 'POST',
          headers: { 'content-type': 'application/json', 'user-agent': 'Tokenledger-Webhooks/1', ...headers },
          body,
          signal: AbortSignal.any([signal, AbortSignal.timeout(ATTEMPT_LIMIT_MS)]),
        });
        // What it says is of no interest, nor whether it says it to the end.
        answer.body.on('error', () => {}).destroy();
        return toAttempt(answer.statusCode, answer.headers['retry-after']);
      } catch (error) {
        signal.throwIfAborted();
        return { outcome: 'failed', failure: toFailure(error) };
      }
    },
    close: () => agent.destroy(),
  };
}
