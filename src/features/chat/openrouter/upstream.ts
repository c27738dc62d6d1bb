import type { Config } from '../../../config/config.js';
import { ApiError } from '../../../platform/errors.js';
import { type AnswerBody, readWhole } from './answer-body.js';
import { createConnections, type HttpAnswer, type HttpRequest, NoAnswerError } from './connections.js';
import { readErrorBody } from './error-body.js';
import { UnknownCostError } from './unknown-cost-error.js';
import { toUpstreamError } from './upstream-error.js';

/** What upstream answers a chat request with. */
export interface UpstreamAnswer {
  /** An event stream, or JSON. */
  readonly body: AnswerBody;
  /** Whether it is not said to be what was asked for: it may be the other of both, and upstream may bill it all the same. */
  readonly isOther: boolean;
  /** The id of the generation, where the header tells it already. */
  readonly upstreamId: string | undefined;
}

/** A chat request as it is sent. */
export interface UpstreamRequest {
  /** Below the base URL, as in `/chat/completions`. */
  readonly path: string;
  /** JSON. */
  readonly body: string;
  /** Header fields besides the usual ones. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly isStreaming: boolean;
  readonly signal?: AbortSignal;
}

/** The API that language models are reached through: OpenRouter, or one like it. */
export interface Upstream {
  /**
   * Sends a chat request.
   * @throws {ApiError} UPSTREAM_REFUSED, UPSTREAM_RATE_LIMITED, UPSTREAM_FAILED, UPSTREAM_UNAVAILABLE: nothing was billed
   * @throws {UnknownCostError} UPSTREAM_TIMEOUT, UPSTREAM_FAILED, SERVER_STOPPING: upstream may bill it
   */
  readonly complete: (request: UpstreamRequest) => Promise<UpstreamAnswer>;
  /**
   * Fetches a JSON document.
   * @returns undefined where upstream does not know it
   * @throws {ApiError} as `complete`; nothing here is ever billed
   */
  readonly fetchJson: (path: string) => Promise<unknown>;
  readonly close: () => Promise<void>;
}

/** Statuses of a gateway that passed a request on and heard nothing: 504 (RFC 9110, section 15.6.5), and Cloudflare's. */
const GATEWAY_TIMEOUTS: readonly number[] = [504, 524];
/** Types an answer of either kind is sent with by mistake. */
const OTHER_TYPE = /^($|text\/(plain|event-stream)\b|application\/(octet-stream\b|([\w.-]+\+)?json\b))/i;
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

/** Returns the id of the generation, as OpenRouter's header tells it. */
function readUpstreamId({ header }: HttpAnswer): string | undefined {
  const id = header('x-generation-id');
  return id !== undefined && /^[\x21-\x7e]{1,200}$/.test(id) ? id : undefined;
}

function isEncoded({ header }: HttpAnswer): boolean {
  return !/^\s*(identity)?\s*$/i.test(header('content-encoding') ?? '');
}

/** Returns what is wrong with an answer in our words, if anything: upstream's own are never passed on. */
async function findError(answer: HttpAnswer): Promise<ApiError | undefined> {
  const { status, header } = answer;
  if (GATEWAY_TIMEOUTS.includes(status)) {
    const cause = new Error(`a gateway answered ${status} for upstream`);
    return new UnknownCostError('UPSTREAM_TIMEOUT', { cause, upstreamId: readUpstreamId(answer) });
  }
  if (status !== 200) {
    const body = isEncoded(answer) ? undefined : await readErrorBody(answer.body);
    const hints = { 'retry-after': header('retry-after'), 'retry-after-ms': header('retry-after-ms') };
    return toUpstreamError({ status, body, hints });
  }
  if (!OTHER_TYPE.test(header('content-type') ?? '')) {
    return new ApiError('UPSTREAM_FAILED', { cause: new Error('upstream answered 200 with another content type') });
  }
  if (!isEncoded(answer)) return undefined;
  // The model has begun to answer: what cannot be read is not free upstream.
  const cause = new Error('upstream compressed its answer, unasked');
  return new UnknownCostError('UPSTREAM_FAILED', { cause, upstreamId: readUpstreamId(answer) });
}

/** Builds the client of the configured upstream. Redirects are not followed. */
export function createUpstream(config: NonNullable<Config['chat']>): Upstream {
  const { apiKey, baseUrl, idleTimeoutMs } = config;
  const connections = createConnections(baseUrl, { silenceMs: idleTimeoutMs });
  const usualHeaders = {
    authorization: `Bearer ${apiKey}`,
    'content-type': 'application/json',
    'accept-encoding': 'identity',
  };

  const send = async (
    request: Omit<HttpRequest, 'headers'>,
    type: RegExp,
    headers: UpstreamRequest['headers'] = {},
  ) => {
    const sending = connections.send({ ...request, headers: { ...headers, ...usualHeaders } });
    const answer = await sending.catch((error: unknown) => {
      const isStopping = request.signal?.aborted === true;
      const { isSent, cause } = error instanceof NoAnswerError ? error : { isSent: true, cause: error };
      if (isSent) throw new UnknownCostError(isStopping ? 'SERVER_STOPPING' : 'UPSTREAM_TIMEOUT', { cause });
      throw new ApiError(isStopping ? 'SERVER_STOPPING' : 'UPSTREAM_UNAVAILABLE', { cause });
    });
    const error = await findError(answer);
    const { header, body } = answer;
    if (error === undefined) {
      return { body, isOther: !type.test(header('content-type') ?? ''), upstreamId: readUpstreamId(answer) };
    }
    body.destroy();
    throw error;
  };

  return {
    complete: ({ path, body, headers, isStreaming, signal }) => {
      return send({ method: 'POST', path, body, signal }, isStreaming ? TYPES.stream : TYPES.json, headers);
    },
    fetchJson: async (path) => {
      try {
        const { body } = await send({ method: 'GET', path }, TYPES.json);
        return JSON.parse((await readWhole(body)).toString('utf8'));
      } catch (error) {
        if (error instanceof ApiError && error.code === 'UPSTREAM_REFUSED') return undefined;
        if (error instanceof UnknownCostError) throw new ApiError('UPSTREAM_UNAVAILABLE', { cause: error.cause });
        if (error instanceof ApiError) throw error;
        // Without the error itself, which quotes what it could not read.
        throw new ApiError('UPSTREAM_FAILED', { cause: new Error('upstream sent no JSON, or broke off') });
      }
    },
    close: connections.close,
  };
}
