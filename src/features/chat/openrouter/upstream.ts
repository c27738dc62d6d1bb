import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Agent, type Dispatcher, request } from 'undici';
import type { Config } from '../../../config/config.js';
import { ApiError } from '../../../platform/errors.js';

/** The API that language models are reached through: OpenRouter, or one like it. */
export interface Upstream {
  /**
   * Sends a chat request.
   * @returns the body of the answer: an event stream, or JSON
   * @throws {ApiError} UPSTREAM_REFUSED, UPSTREAM_RATE_LIMITED, UPSTREAM_FAILED, UPSTREAM_UNAVAILABLE: nothing was billed
   */
  readonly complete: (body: string, isStreaming: boolean, signal?: AbortSignal) => Promise<Readable>;
  /**
   * Fetches a JSON document.
   * @returns undefined where upstream does not know it
   * @throws {ApiError} as `complete`
   */
  readonly fetchJson: (path: string) => Promise<unknown>;
  readonly close: () => Promise<void>;
}

const CONNECT_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 30_000;
const MAX_RETRY_AFTER_SECONDS = 3_600;
/** Statuses that tell something about the request. A bad key of ours (401, 402) is no fault of the client's. */
const REFUSALS: readonly number[] = [400, 403, 404, 405, 413, 415, 422];
const TYPES = { stream: /^text\/event-stream\b/i, json: /^application\/([\w.-]+\+)?json\b/i };

/**
 * Providers that stop working, and billing, when a stream is aborted, as OpenRouter lists them in its documentation
 * ("API Streaming", "Stream cancellation", read in November 2026), in lower case. All others go on to the end and bill
 * it, and anybody not on the list is assumed to: their streams are read to the end even after the client has gone.
 */
const STOPS_BILLING: ReadonlySet<string> = new Set([
  'anthropic',
  'anyscale',
  'avian',
  'azure',
  'chutes',
  'cloudflare',
  'cohere',
  'deepinfra',
  'deepseek',
  'fireworks',
  'friendli',
  'hyperbolic',
  'infermatic',
  'lepton',
  'liquid',
  'mancer',
  'nineteen',
  'novita',
  'octoai',
  'openai',
  'recursal',
  'sfcompute',
  'together',
  'xai',
]);

/** Returns whether aborting a provider's stream ends its billing. */
export function stopsBilling(provider: string | undefined): boolean {
  return provider !== undefined && STOPS_BILLING.has(provider);
}

function readHeader(response: Dispatcher.ResponseData, name: string): string {
  const value = response.headers[name];
  return (Array.isArray(value) ? value[0] : value) ?? '';
}

/** Returns what is wrong with an answer in our words, if anything: upstream's own are never passed on. */
function findError(response: Dispatcher.ResponseData, type: RegExp): ApiError | undefined {
  const { statusCode } = response;
  const cause = new Error(`upstream answered ${statusCode}`);
  if (statusCode === 200) {
    return type.test(readHeader(response, 'content-type')) ? undefined : new ApiError('UPSTREAM_FAILED', { cause });
  }
  if (statusCode === 429) {
    const seconds = Number(readHeader(response, 'retry-after') || 1);
    const retryAfter = seconds >= 1 && seconds <= MAX_RETRY_AFTER_SECONDS ? Math.ceil(seconds) : 1;
    return new ApiError('UPSTREAM_RATE_LIMITED', { extras: { retry_after: retryAfter }, cause });
  }
  if (REFUSALS.includes(statusCode)) return new ApiError('UPSTREAM_REFUSED', { cause });
  return new ApiError(statusCode === 401 || statusCode === 402 ? 'UPSTREAM_UNAVAILABLE' : 'UPSTREAM_FAILED', { cause });
}

/** Builds the client of the configured upstream. Redirects are not followed. */
export function createUpstream(config: NonNullable<Config['chat']>): Upstream {
  const { apiKey, baseUrl, idleTimeoutMs } = config;
  const dispatcher = new Agent({
    connect: { timeout: CONNECT_TIMEOUT_MS },
    headersTimeout: idleTimeoutMs,
    bodyTimeout: idleTimeoutMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
  });

  const send = async (
    path: string,
    type: RegExp,
    options: Pick<Dispatcher.RequestOptions, 'method' | 'body' | 'signal'>,
  ) => {
    const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' };
    const response = await request(`${baseUrl}${path}`, { ...options, headers, dispatcher }).catch((cause: unknown) => {
      throw new ApiError('UPSTREAM_UNAVAILABLE', { cause });
    });
    const error = findError(response, type);
    if (error === undefined) return response.body;
    response.body.on('error', () => {}).destroy();
    throw error;
  };

  return {
    complete: (body, isStreaming, signal) =>
      send('/chat/completions', isStreaming ? TYPES.stream : TYPES.json, {
        method: 'POST',
        body,
        signal: signal ?? null,
      }),
    fetchJson: async (path) => {
      try {
        return JSON.parse(await text(await send(path, TYPES.json, { method: 'GET' })));
      } catch (error) {
        if (error instanceof ApiError && error.code === 'UPSTREAM_REFUSED') return undefined;
        if (error instanceof ApiError) throw error;
        // Without the error itself, which quotes what it could not read.
        throw new ApiError('UPSTREAM_FAILED', { cause: new Error('upstream sent no JSON, or broke off') });
      }
    },
    close: () => dispatcher.destroy(),
  };
}
