import pg from 'pg';
import { callFunction, RESPONSE_MARGIN_MS } from './call.js';
import { FunctionCatalog } from './catalog.js';
import { createCallerCheck } from './claims.js';
import { DataApiError } from './data-api-error.js';
import { prepareSession } from './session.js';

/** How to reach Postgres, and how long to wait for it. */
export interface DirectApiOptions {
  /** Postgres connection string; its role must be a member of anon, authenticated and service_role. */
  readonly connectionString: string;
  /** Key database tokens are signed with (HS256). */
  readonly jwtSecret: Uint8Array;
  /** Most connections to Postgres; 10 by default. */
  readonly poolSize?: number;
  /** Statement time-out in milliseconds; 10,000 by default. */
  readonly statementTimeoutMs?: number;
  /** Longest wait for a connection in milliseconds; 5,000 by default. */
  readonly connectionTimeoutMs?: number;
  /** Called for each connection that breaks while idle. */
  readonly onConnectionError?: (error: Error) => void;
}

/** The direct Data API, as supabase-js takes it. */
export interface DirectApi {
  readonly fetch: typeof globalThis.fetch;
  readonly close: () => Promise<void>;
}

const RPC_PATH = /^\/rest\/v1\/rpc\/([a-z_][a-z0-9_]*)$/;

/** Parses the name of the called function from the URL; rejects every other request. */
function parseFunctionName(input: string | URL | Request, method: string | undefined): string {
  const url = new URL(input instanceof Request ? input.url : input);
  const name = RPC_PATH.exec(url.pathname)?.[1];
  if (name === undefined) throw new DataApiError(404, 'PGRST125', 'Invalid path specified in request URL');
  if (method !== 'POST') throw new DataApiError(405, 'PGRST101', 'Only POST is supported on RPC');
  if (url.search !== '') throw new DataApiError(400, 'PGRST100', 'Query parameters are not supported on RPC');
  return name;
}

/** Rejects headers that would give the answer another shape or meaning. */
function rejectUnsupported(headers: Headers): void {
  const accepted = headers.get('accept') ?? '*/*';
  if (!/(^|,)\s*(application\/json|\*\/\*)\s*(;|,|$)/.test(accepted)) {
    throw new DataApiError(406, 'PGRST107', `None of these media types are available: ${accepted}`);
  }
  const type = headers.get('content-type') ?? 'application/json';
  if (!/^application\/json\s*(;|$)/.test(type)) {
    throw new DataApiError(400, 'PGRST102', `Content-Type not acceptable: ${type}`);
  }
  const schema = headers.get('content-profile') ?? 'public';
  if (schema !== 'public') throw new DataApiError(406, 'PGRST106', `Invalid schema: ${schema}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new DataApiError(400, 'PGRST102', 'Empty or invalid json');
  }
}

/** Parses the body's named arguments; the body itself goes to Postgres unchanged. */
function parseArguments(body: unknown): { given: string[]; body: string } {
  const text = body === undefined || body === null || body === '' ? '{}' : body;
  if (typeof text !== 'string') throw new DataApiError(400, 'PGRST102', 'Only text is supported as the body');
  const parsed = parseJson(text);
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new DataApiError(400, 'PGRST102', 'All object keys must match');
  }
  return { given: Object.keys(parsed), body: text };
}

/**
 * Opens the direct Data API: a `fetch` for supabase-js that answers `POST /rest/v1/rpc/<function>` as PostgREST does,
 * straight from Postgres. It rejects everything else PostgREST offers.
 * Follows PostgREST's documentation, "Functions as RPC", "Errors", "Transactions" and "Authentication".
 */
export function openDirectApi(options: DirectApiOptions): DirectApi {
  const statementTimeoutMs = options.statementTimeoutMs ?? 10_000;
  const pool = new pg.Pool({
    connectionString: options.connectionString,
    max: options.poolSize ?? 10,
    connectionTimeoutMillis: options.connectionTimeoutMs ?? 5_000,
    query_timeout: statementTimeoutMs + RESPONSE_MARGIN_MS,
    keepAlive: true,
    // Idle connections must not keep the process alive.
    allowExitOnIdle: true,
    application_name: 'tokenledger',
    // The pool waits for it before it gives the connection to anybody.
    onConnect: (client) => prepareSession(client, statementTimeoutMs),
  });
  // Without a listener, a connection that breaks while idle would crash the process.
  pool.on('error', (error) => options.onConnectionError?.(error));
  // The same holds for a connection in use, where the pool does not listen; the call in progress reports the error.
  pool.on('connect', (client) => client.on('error', () => {}));
  const catalog = new FunctionCatalog(pool);
  const authenticate = createCallerCheck(options.jwtSecret);

  const answer: typeof globalThis.fetch = async (input, init) => {
    const name = parseFunctionName(input, init?.method);
    const headers = new Headers(init?.headers);
    const caller = await authenticate(headers.get('authorization'));
    rejectUnsupported(headers);
    const request = parseArguments(init?.body);
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
        if (error instanceof DataApiError) return error.toResponse();
        throw error;
      }
    },
    close: () => pool.end(),
  };
}
