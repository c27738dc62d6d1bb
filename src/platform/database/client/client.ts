import { createClient } from '@supabase/supabase-js';
import type { Database } from './types.js';

export type DatabaseClient = ReturnType<typeof createClient<Database, 'public'>>;

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
 * Builds a supabase-js client that acts with one key. It is shared by all requests and holds no session.
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

/** Builds a `fetch` that gives up after a while, unless the call brings a signal: supabase-js itself would wait for ever. */
export function fetchWithTimeout(timeoutMs: number): typeof globalThis.fetch {
  return (input, init) => fetch(input, { ...init, signal: init?.signal ?? AbortSignal.timeout(timeoutMs) });
}
