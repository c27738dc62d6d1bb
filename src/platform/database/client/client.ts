import { createClient } from '@supabase/supabase-js';
import { DatabaseFailure } from './failure.js';
import type { Database } from './types.js';

export type DatabaseClient = ReturnType<typeof createClient<Database, 'public'>>;

const ATTEMPTS = 4;

/**
 * supabase-js builds a realtime client at once, which on Node 20 ends in an error unless it is given a transport.
 * Realtime is not used here, so this one never connects.
 */
class NoRealtime {
  readonly CONNECTING = 0;
  readonly OPEN = 1;
  readonly CLOSING = 2;
  readonly CLOSED = 3;
  readonly readyState = 3;
  readonly url = '';
  readonly protocol = '';
  onopen = null;
  onmessage = null;
  onclose = null;
  onerror = null;
  close(): void {}
  send(): void {}
  addEventListener(): void {}
  removeEventListener(): void {}
}

/**
 * A supabase-js client that acts with one key. It is shared by all requests and holds no session.
 *
 * @param fetch what carries the calls: the direct Data API's, or the global one for PostgREST
 */
export function createDatabaseClient(url: string, key: string, fetch: typeof globalThis.fetch): DatabaseClient {
  return createClient<Database, 'public'>(url, key, {
    accessToken: async () => key,
    global: { fetch },
    realtime: { transport: NoRealtime },
  });
}

/** Longest wait for the few calls that look at everything; their SQL functions set the same time-out, in milliseconds. */
const LONG_CALL_MS = 15 * 60_000;

/** The signal to give a call that may take long. */
export function longCall(): AbortSignal {
  return AbortSignal.timeout(LONG_CALL_MS);
}

/** `fetch` that gives up after a while, unless the call brings a signal: supabase-js itself would wait for ever. */
export function fetchWithTimeout(timeoutMs: number): typeof globalThis.fetch {
  return (input, init) => fetch(input, { ...init, signal: init?.signal ?? AbortSignal.timeout(timeoutMs) });
}

/** What the Data API answers to a call. */
export interface Answer<T> {
  readonly data: T | null;
  readonly error: { readonly code: string; readonly message: string; readonly details: string | null } | null;
  readonly status: number;
}

/**
 * Makes one database call and returns its data. Serialization failures and deadlocks are tried again three times;
 * nothing else is, as a call whose answer was lost may have committed.
 *
 * @param query builds the call, once per attempt
 * @throws {DatabaseFailure} for every error, and for an empty answer where a result was expected
 */
export async function callDatabase<T>(query: () => PromiseLike<Answer<T>>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    const { data, error, status } = await query();
    if (error === null && data !== null) return data;
    const failure =
      error === null ? DatabaseFailure.unexpected('empty answer') : new DatabaseFailure({ ...error, status });
    if (!failure.isTransient || attempt === ATTEMPTS) throw failure;
  }
}
