import pg from 'pg';
import { callFunction } from './call.js';
import { FunctionCatalog } from './catalog.js';
import { createCallerCheck } from './claims.js';
import { DataApiFailure } from './failure.js';

export interface DirectApiOptions {
  /** Postgres connection string; its role must be a member of anon, authenticated and service_role. */
  readonly connectionString: string;
  /** Key database tokens are signed with (HS256). */
  readonly jwtSecret: Uint8Array;
  /** Most connections to Postgres; 10 unless told. */
  readonly poolSize?: number;
  /** Statement time-out in milliseconds; 10,000 unless told. */
  readonly statementTimeoutMs?: number;
  /** Told of connections that broke while idle. */
  readonly onConnectionError?: (error: Error) => void;
}

export interface DirectApi {
  readonly fetch: typeof globalThis.fetch;
  readonly close: () => Promise<void>;
}

const RPC_PATH = /^\/rest\/v1\/rpc\/([a-z_][a-z0-9_]*)$/;

function functionNameOf(input: string | URL | Request, method: string | undefined): string {
  const url = new URL(input instanceof Request ? input.url : input);
  const name = RPC_PATH.exec(url.pathname)?.[1];
  if (name === undefined) throw new DataApiFailure(404, 'PGRST125', 'Invalid path specified in request URL');
  if (method !== 'POST') throw new DataApiFailure(405, 'PGRST101', 'Only POST is supported on RPC');
  if (url.search !== '') throw new DataApiFailure(400, 'PGRST100', 'Query parameters are not supported on RPC');
  return name;
}

function argumentsOf(body: unknown): { given: string[]; body: string } {
  const text = typeof body === 'string' && body !== '' ? body : '{}';
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new DataApiFailure(400, 'PGRST102', 'Empty or invalid json');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new DataApiFailure(400, 'PGRST102', 'All object keys must match');
  }
  return { given: Object.keys(parsed), body: text };
}

/**
 * The direct Data API: a `fetch` for supabase-js that answers `POST /rest/v1/rpc/<function>` as PostgREST does,
 * straight from Postgres. Everything else PostgREST offers is refused, never guessed.
 * Follows PostgREST's documentation, "Functions as RPC", "Errors", "Transactions" and "Authentication".
 */
export function openDirectApi(options: DirectApiOptions): DirectApi {
  const statementTimeoutMs = options.statementTimeoutMs ?? 10_000;
  const pool = new pg.Pool({
    connectionString: options.connectionString,
    max: options.poolSize ?? 10,
    connectionTimeoutMillis: 5_000,
    query_timeout: statementTimeoutMs + 2_000,
    keepAlive: true,
    // An idle connection is no reason for a process to live on.
    allowExitOnIdle: true,
    application_name: 'tokenledger',
  });
  // Without a listener a connection that breaks while idle would end the process.
  pool.on('error', (error) => options.onConnectionError?.(error));
  const catalog = new FunctionCatalog(pool);
  const callerOf = createCallerCheck(options.jwtSecret);

  const answer: typeof globalThis.fetch = async (input, init) => {
    const name = functionNameOf(input, init?.method);
    const caller = await callerOf(new Headers(init?.headers).get('authorization'));
    const request = argumentsOf(init?.body);
    const fn = await catalog.resolve(name, request.given);
    const body = await callFunction(pool, caller, fn, request, statementTimeoutMs);
    if (body === null) return new Response(null, { status: 204 });
    return new Response(body, { headers: { 'content-type': 'application/json; charset=utf-8' } });
  };

  return {
    fetch: async (input, init) => {
      try {
        return await answer(input, init);
      } catch (error) {
        if (error instanceof DataApiFailure) return error.toResponse();
        return new DataApiFailure(503, 'PGRST002', 'Could not query the database for the schema cache').toResponse();
      }
    },
    close: () => pool.end(),
  };
}
