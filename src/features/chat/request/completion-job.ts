import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import type { Codec } from '../codec.js';
import type { Hold, Reservation } from '../metering/chat-meter.js';
import type { OutputLimit } from '../metering/request-estimate.js';
import type { UpstreamRequest } from '../openrouter/upstream.js';
import { stringifyExactly } from './exact-json.js';

/** A chat request that a route has accepted. */
export interface CompletionJob {
  readonly source: 'chat' | 'api';
  /** Takes the hold from the balance of whoever pays. */
  readonly reserve: (reservation: Reservation) => Promise<Hold>;
  /** What upstream is asked, without what the server adds. */
  readonly body: Readonly<Record<string, unknown>>;
  /** The request as it was received; numbers that come from it are passed on as they stood in it. */
  readonly received: Readonly<Record<string, unknown>>;
  readonly model: string;
  readonly isStreaming: boolean;
  readonly idempotencyKey: string | undefined;
  readonly codec: Codec;
}

/**
 * Writes what upstream is sent, always asking for usage: at once for an answer of the wanted length, as that is nearly always
 * granted, while the hold is taken.
 * @returns a function that returns it with the limits for an answer of the granted length
 */
export async function prepareRequest(job: CompletionJob, limit: OutputLimit, isOpenRouter: boolean) {
  const { body, model, isStreaming, codec, received } = job;
  const write = (grantedTokens: Hold['outputTokens']): UpstreamRequest => {
    const limits = limit.toUpstreamLimits(grantedTokens);
    const request = { ...codec.toUpstreamBody(body, { isStreaming, isOpenRouter }), ...limits, model };
    return { path: codec.path, headers: codec.headers, body: stringifyExactly(request, received), isStreaming };
  };
  // The hold is on its way to the database first.
  await setImmediate();
  const usual = write(limit.wantedTokens);
  return (grantedTokens: Hold['outputTokens']) => (grantedTokens === limit.wantedTokens ? usual : write(grantedTokens));
}

/** Returns the SHA-256 (hex) of what was asked for, to the last digit. */
export function hashRequest({ source, model, body, received, codec }: CompletionJob): string {
  return createHash('sha256')
    .update(JSON.stringify([source, codec.path, model]))
    .update(stringifyExactly(body, received))
    .digest('hex');
}
