import { LRUCache } from 'lru-cache';
import { HEAVY_HEADER } from '../client/database.js';
import { callFunction } from './call.js';
import { FunctionCatalog } from './catalog.js';
import { createCallerCheck } from './claims.js';
import { DataApiError } from './data-api-error.js';
import { JsonResponse } from './json-response.js';
import { findLane } from './lanes.js';
import { openPools, type PoolOptions } from './pools.js';
import { createPulse } from './pulse.js';
import { createTurns } from './turns.js';

/** How to reach Postgres, and how long to wait for it. */
export interface DirectApiOptions extends PoolOptions {
  /** Key database tokens are signed with (HS256). */
  readonly jwtSecret: Uint8Array;
}

/** The direct Data API, as supabase-js takes it. */
export interface DirectApi {
  readonly fetch: typeof globalThis.fetch;
  readonly close: () => Promise<void>;
}

/** SQLSTATE of a call of a function that does not exist. */
const UNDEFINED_FUNCTION = '42883';
const RPC_PATH = /^\/rest\/v1\/rpc\/([a-z_][a-z0-9_]*)$/;

/** Names of functions by the URLs they were called at: there is one for each. */
const calledNames = new LRUCache<string, string>({ max: 1_000 });

/** Parses the name of the called function from the URL; rejects every other request. */
function parseFunctionName(input: string | URL | Request, method: string | undefined): string {
  const address = input instanceof Request ? input.url : String(input);
  const known = calledNames.get(address);
  if (known !== undefined && method === 'POST') return known;
  const url = new URL(address);
  const name = RPC_PATH.exec(url.pathname)?.[1];
  if (name === undefined) throw new DataApiError(404, 'PGRST125', 'Invalid path specified in request URL');
  if (method !== 'POST') throw new DataApiError(405, 'PGRST101', 'Only POST is supported on RPC');
  if (url.search !== '') throw new DataApiError(400, 'PGRST100', 'Query parameters are not supported on RPC');
  calledNames.set(address, name);
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
  const pools = openPools({ ...options, statementTimeoutMs });
  const catalog = new FunctionCatalog(pools.of('general'));
  const authenticate = createCallerCheck(options.jwtSecret);
  const pulse = createPulse(options.connectionString, options.silenceMs);
  const takeTurns = createTurns(pools.of('heavy').options.max);

  /** Says so where a function is gone, or is another now, since the catalogue was read. */
  const explain = async (error: unknown, name: string, given: readonly string[]): Promise<never> => {
    if (error instanceof DataApiError && error.code === UNDEFINED_FUNCTION) {
      catalog.forget();
      await catalog.resolve(name, given);
    }
    throw error;
  };

  const answer: typeof globalThis.fetch = async (input, init) => {
    const name = parseFunctionName(input, init?.method);
    const headers = init?.headers instanceof Headers ? init.headers : new Headers(init?.headers);
    const caller = await authenticate(headers.get('authorization'));
    rejectUnsupported(headers);
    const request = parseArguments(init?.body);
    const known = catalog.recall(name, request.given);
    const fn = known ?? (await pulse.watch(() => catalog.resolve(name, request.given)));
    const heavyFor = headers.get(HEAVY_HEADER);
    const lane = heavyFor === null ? findLane(name, fn.timeoutMs) : 'heavy';
    const call = () =>
      pulse.watch((onSent) => callFunction(pools.of(lane), caller, fn, request, statementTimeoutMs, onSent));
    const body = await (lane === 'heavy' ? takeTurns(heavyFor ?? caller.party, call) : call()).catch((error) =>
      explain(error, name, request.given),
    );
    if (body === null) return new Response(null, { status: 204 });
    return new JsonResponse(body);
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
    close: async () => {
      await pools.end();
      await pulse.close();
    },
  };
}
