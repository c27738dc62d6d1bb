import { randomBytes } from 'node:crypto';
import { type JWTPayload, SignJWT } from 'jose';
import type { Test } from 'tap';
import {
  type DirectApi,
  type DirectApiOptions,
  openDirectApi,
} from '../../../src/platform/database/direct/direct-api.js';
import { type OwnedTestDatabase, openTestCluster, openTestDatabase, type TestDatabase } from './test-database.js';

/** The answer to a Data API call. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The text as JSON, undefined where there is none. */
  readonly body: unknown;
}

/** The direct Data API over a throwaway database, with functions of the test's own. */
export interface TestDataApi<Database extends TestDatabase = TestDatabase> {
  readonly database: Database;
  readonly secret: Uint8Array;
  readonly fetch: typeof globalThis.fetch;
  /** Opens the same API again with other options. */
  readonly open: (options: Partial<DirectApiOptions>) => DirectApi;
  /** Signs a token as the server would. */
  readonly sign: (claims: JWTPayload) => Promise<string>;
  /** Calls a function, by default as `service_role`; null is no token. */
  readonly call: (name: string, args?: object, token?: string | null) => Promise<Answer>;
}

/** Returns the URL of a function; the host is never resolved. */
export const rpcUrl = (name: string) => `http://direct.invalid/rest/v1/rpc/${name}`;

/** Reads a response into an answer. */
export async function readAnswer(response: Response): Promise<Answer> {
  const text = await response.text();
  const body: unknown = text === '' ? undefined : JSON.parse(text);
  return { status: response.status, headers: response.headers, text, body };
}

/** Posts a body to a function. */
export async function post(
  fetch: typeof globalThis.fetch,
  name: string,
  body: RequestInit['body'],
  headers: Record<string, string> = {},
): Promise<Answer> {
  return readAnswer(await fetch(rpcUrl(name), { method: 'POST', headers, body: body ?? null }));
}

/**
 * Opens the direct Data API; it ends with the test.
 *
 * @param functions SQL that creates the functions to call; every API role may execute them
 */
export async function openTestDataApi(
  t: Test,
  functions: string,
  options: Partial<DirectApiOptions> = {},
): Promise<TestDataApi> {
  return openDataApi(t, await openTestDatabase(t), functions, options);
}

/** Opens the direct Data API over a Postgres of its own, as {@link openTestDataApi} does otherwise. */
export async function openTestDataApiOnCluster(
  t: Test,
  functions: string,
  options: Partial<DirectApiOptions> = {},
): Promise<TestDataApi<OwnedTestDatabase>> {
  return openDataApi(t, await openTestCluster(t), functions, options);
}

async function openDataApi<Database extends TestDatabase>(
  t: Test,
  database: Database,
  functions: string,
  options: Partial<DirectApiOptions>,
): Promise<TestDataApi<Database>> {
  await database.sql('alter default privileges grant execute on functions to anon, authenticated, service_role');
  await database.sql(functions);
  const secret = randomBytes(32);
  const open = (further: Partial<DirectApiOptions>) => {
    const api = openDirectApi({ connectionString: database.serverUrl, jwtSecret: secret, ...options, ...further });
    t.after(() => api.close());
    return api;
  };
  const api = open({});
  const sign = (claims: JWTPayload) => new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(secret);
  const serviceToken = await sign({ role: 'service_role' });
  return {
    database,
    secret,
    fetch: api.fetch,
    open,
    sign,
    call: (name, args = {}, token = serviceToken) =>
      post(api.fetch, name, JSON.stringify(args), token === null ? {} : { authorization: `Bearer ${token}` }),
  };
}
