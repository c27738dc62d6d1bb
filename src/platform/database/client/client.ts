import { createClient } from '@supabase/supabase-js';
import type { Database } from './types.js';

/** A supabase-js client of schema `public`. */
export type DatabaseClient = ReturnType<typeof createClient<Database, 'public'>>;

/**
 * Stands in for a WebSocket and never connects. supabase-js creates a realtime client right away, which throws on Node 20
 * unless it is given a transport; we do not use realtime.
 */
export class NoRealtime {
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
 * Builds a supabase-js client that acts with one key. All requests share it; it holds no session.
 *
 * @param fetch sends the calls: the direct Data API's, or the global one for PostgREST
 */
export function createDatabaseClient(url: string, key: string, fetch: typeof globalThis.fetch): DatabaseClient {
  return createClient<Database, 'public'>(url, key, {
    accessToken: async () => key,
    global: { fetch },
    realtime: { transport: NoRealtime },
  });
}

/** Builds a `fetch` that times out after `timeoutMs`, unless the call has its own signal: supabase-js itself never times out. */
export function fetchWithTimeout(timeoutMs: number): typeof globalThis.fetch {
  return (input, init) => fetch(input, { ...init, signal: init?.signal ?? AbortSignal.timeout(timeoutMs) });
}
