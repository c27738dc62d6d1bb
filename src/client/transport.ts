import { readError, TokenledgerError } from './errors.js';

/** How requests are sent. */
export interface TransportOptions {
  /** The server's address, with `/api` or without it. */
  readonly baseUrl: string;
  /** Used instead of the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch;
  /** How often a request is sent again by itself; 2 unless told otherwise. */
  readonly retries?: number;
  /** The longest wait before such an attempt, in milliseconds; where the server asks for more the error is thrown. 10 seconds. */
  readonly maxRetryWait?: number;
  /** How long to wait for an answer, in milliseconds; half a minute. A stream may take as long as it wants once it has begun. */
  readonly timeout?: number;
  /** Waits for so many milliseconds; tests put something quicker here. */
  readonly wait?: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
}

/** A request, and when it may be sent again without the caller. */
export interface Call {
  /** By default POST where there is a body, and GET where there is none. */
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Sent as JSON. */
  readonly body?: object;
  readonly token?: string | undefined;
  readonly idempotencyKey?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /**
   * `lost`, which is the default: also when its answer was lost, as it changes nothing the second time. `refused`: only
   * when the server says that nothing was done.
   */
  readonly repeat?: 'lost' | 'refused' | undefined;
}

/** Sends requests; `read` makes the result of an answer that is no error. */
export type Send = <T>(path: string, call: Call, read: (response: Response) => Promise<T>) => Promise<T>;

/** Answers that come from something in front of the server, or from a server that could not finish. */
const LOST_STATUSES = [0, 408, 502, 504];

/** Waits, and gives up with the signal's reason when it fires. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

function isWorthRepeating(error: TokenledgerError, repeat: Call['repeat']): boolean {
  const { status, code, retryAfter, shouldRetry } = error;
  if (shouldRetry !== undefined) return shouldRetry;
  // A 503 of the server's own without a time says that something is not set up.
  if (status === 429 || (status === 503 && (retryAfter !== undefined || code === 'UNKNOWN'))) return true;
  return repeat !== 'refused' && LOST_STATUSES.includes(status);
}

/** Reads JSON; what it looks like is the server's document to say. */
export async function readJson<T>(response: Response): Promise<T> {
  return JSON.parse(await response.text());
}

/** Sends requests, and knows the server's time. */
export interface Transport {
  readonly send: Send;
  /** How far the server's clock is ahead of this one, in milliseconds; 0 while they are less than two seconds apart. */
  readonly clockSkew: () => number;
}

/** Creates what sends requests, and sends them again as the server says it. */
export function createTransport(options: TransportOptions): Transport {
  const { retries = 2, maxRetryWait = 10_000, timeout = 30_000, wait = sleep } = options;
  const fetch = options.fetch ?? globalThis.fetch;
  const base = options.baseUrl.replace(/\/+$/, '').replace(/\/api$/, '');

  let skew = 0;

  const readClock = (response: Response) => {
    // The header has whole seconds, cut off: rather early than late, as the server takes a time in the future for now.
    const ahead = Date.parse(response.headers.get('date') ?? '') + 1_000 - Date.now();
    skew = Math.abs(ahead) >= 2_000 ? ahead : 0;
  };

  const attempt: Send = async (path, { body, method = body ? 'POST' : 'GET', token, idempotencyKey, signal }, read) => {
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(), timeout);
    try {
      const response = await fetch(`${base}/api${path}`, {
        method,
        headers: {
          ...(body && { 'content-type': 'application/json' }),
          ...(token && { authorization: `Bearer ${token}` }),
          ...(idempotencyKey && { 'idempotency-key': idempotencyKey }),
        },
        ...(body && { body: JSON.stringify(body) }),
        credentials: 'omit',
        signal: signal ? AbortSignal.any([signal, silence.signal]) : silence.signal,
      });
      readClock(response);
      if (!response.ok) throw await readError(response);
      return await read(response);
    } catch (cause) {
      signal?.throwIfAborted();
      if (cause instanceof TokenledgerError) throw cause;
      throw new TokenledgerError('NETWORK_ERROR', 'The server did not answer', { cause });
    } finally {
      clearTimeout(timer);
    }
  };

  const send: Send = async (path, call, read) => {
    for (let tries = 0; ; tries += 1) {
      try {
        return await attempt(path, call, read);
      } catch (error) {
        if (tries >= retries || !(error instanceof TokenledgerError && isWorthRepeating(error, call.repeat)))
          throw error;
        // Spread out, so that those who failed together do not come back together.
        const backoff = 500 * 2 ** tries * (0.5 + Math.random() / 2);
        const delay = Math.max(backoff, (error.retryAfter ?? 0) * 1_000);
        if (delay > maxRetryWait) throw error;
        await wait(delay, call.signal);
      }
    }
  };
  return { send, clockSkew: () => skew };
}
