import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Agent, type Dispatcher, request } from 'undici';
import type { Config } from '../../../config/config.js';
import { ApiError } from '../../../platform/errors.js';

/** The API language models are reached through: OpenRouter, or one like it. */
export interface Upstream {
  /**
   * Sends a chat request.
   * @returns the body of the answer: an event stream, or JSON
   * @throws {ApiError} UPSTREAM_REFUSED, UPSTREAM_RATE_LIMITED, UPSTREAM_FAILED, UPSTREAM_UNAVAILABLE: nothing was billed
   */
  readonly complete: (body: string, streaming: boolean, signal?: AbortSignal) => Promise<Readable>;
  /**
   * Asks for something as JSON.
   * @returns undefined where upstream does not know it
   * @throws {ApiError} as `complete`
   */
  readonly read: (path: string) => Promise<unknown>;
  readonly close: () => Promise<void>;
}

const CONNECT_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 30_000;
const MAX_RETRY_AFTER_SECONDS = 3_600;
/** Statuses that say something about the request. That our key is bad (401, 402) is no fault of the caller's. */
const REFUSALS: readonly number[] = [400, 403, 404, 405, 413, 415, 422];
const TYPES = { stream: /^text\/event-stream\b/i, json: /^application\/([\w.-]+\+)?json\b/i };

function headerOf(answer: Dispatcher.ResponseData, name: string): string {
  const value = answer.headers[name];
  return (Array.isArray(value) ? value[0] : value) ?? '';
}

/** What is wrong with an answer, in our words: upstream's own are never passed on. */
function problemOf(answer: Dispatcher.ResponseData, type: RegExp): ApiError | undefined {
  const { statusCode } = answer;
  const cause = new Error(`upstream answered ${statusCode}`);
  if (statusCode === 200) {
    return type.test(headerOf(answer, 'content-type')) ? undefined : new ApiError('UPSTREAM_FAILED', { cause });
  }
  if (statusCode === 429) {
    const seconds = Number(headerOf(answer, 'retry-after') || 1);
    const retryAfter = seconds >= 1 && seconds <= MAX_RETRY_AFTER_SECONDS ? Math.ceil(seconds) : 1;
    return new ApiError('UPSTREAM_RATE_LIMITED', { extras: { retry_after: retryAfter }, cause });
  }
  if (REFUSALS.includes(statusCode)) return new ApiError('UPSTREAM_REFUSED', { cause });
  return new ApiError(statusCode === 401 || statusCode === 402 ? 'UPSTREAM_UNAVAILABLE' : 'UPSTREAM_FAILED', { cause });
}

/** Builds the client of the configured upstream. Redirects are not followed. */
export function createUpstream(config: NonNullable<Config['chat']>): Upstream {
  const { apiKey: key, baseUrl: base, idleTimeoutMs: silenceMs } = config;
  const dispatcher = new Agent({
    connect: { timeout: CONNECT_TIMEOUT_MS },
    headersTimeout: silenceMs,
    bodyTimeout: silenceMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
  });

  const ask = async (
    path: string,
    type: RegExp,
    options: Pick<Dispatcher.RequestOptions, 'method' | 'body' | 'signal'>,
  ) => {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    const answer = await request(`${base}${path}`, { ...options, headers, dispatcher }).catch((cause: unknown) => {
      throw new ApiError('UPSTREAM_UNAVAILABLE', { cause });
    });
    const problem = problemOf(answer, type);
    if (problem === undefined) return answer.body;
    answer.body.on('error', () => {}).destroy();
    throw problem;
  };

  return {
    complete: (body, streaming, signal) =>
      ask('/chat/completions', streaming ? TYPES.stream : TYPES.json, {
        method: 'POST',
        body,
        signal: signal ?? null,
      }),
    read: async (path) => {
      try {
        return JSON.parse(await text(await ask(path, TYPES.json, { method: 'GET' })));
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
