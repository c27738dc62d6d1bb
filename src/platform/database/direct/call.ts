import pg from 'pg';
import type { CallableFunction } from './catalog.js';
import type { Caller } from './claims.js';
import { DataApiError } from './data-api-error.js';
import { toHttpStatus } from './sqlstate.js';

const { escapeIdentifier, escapeLiteral } = pg;

/** The pool's only sign that all its connections are busy, rather than Postgres itself being slow, is this text. */
const NO_FREE_CONNECTION = 'timeout exceeded when trying to connect';

/**
 * Builds the query that calls a function and returns the JSON text PostgREST would. Its arguments are one JSON object in
 * `$1`, which Postgres converts to the declared types.
 */
function buildCall(fn: CallableFunction, given: readonly string[]): string {
  const used = fn.arguments.filter(({ name }) => given.includes(name));
  const columns = used.map(({ name, type }) => `${escapeIdentifier(name)} ${type}`).join(', ');
  const named = used.map(({ name, variadic }) => {
    const identifier = escapeIdentifier(name);
    return `${variadic ? 'variadic ' : ''}${identifier} => args.${identifier}`;
  });
  const invocation = `public.${escapeIdentifier(fn.name)}(${named.join(', ')})`;
  const source = used.length > 0 ? `json_to_record($1::json) as args(${columns})` : '(select $1::json) as args';
  switch (fn.returns) {
    case 'void':
      return `select ${invocation}, null as body from ${source}`;
    case 'scalar':
      return `select to_json(${invocation})::text as body from ${source}`;
    case 'row':
      return `select to_json(r)::text as body from ${source}, lateral (select * from ${invocation}) as r`;
    case 'values':
      return `select coalesce(json_agg(r.v), '[]')::text as body from (select ${invocation} as v from ${source}) as r`;
    case 'rows':
      return `select coalesce(json_agg(r), '[]')::text as body from ${source}, lateral (select * from ${invocation}) as r`;
  }
}

/** Translates an error of the driver into the one PostgREST answers. */
function toDataApiError(error: unknown, caller: Caller): DataApiError {
  if (error instanceof pg.DatabaseError && error.code !== undefined) {
    return new DataApiError(toHttpStatus(error.code, caller.role !== 'anon'), error.code, error.message, {
      details: error.detail ?? null,
      hint: error.hint ?? null,
    });
  }
  return new DataApiError(503, 'PGRST001', 'Database client error', { details: readMessage(error) });
}

function readMessage(error: unknown): string | null {
  return error instanceof Error ? error.message : null;
}

/**
 * Takes a connection from the pool.
 * @throws {DataApiError} 504 PGRST003 if none became free in time, 503 PGRST000 if Postgres cannot be reached
 */
async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    if (readMessage(error) === NO_FREE_CONNECTION) {
      throw new DataApiError(504, 'PGRST003', 'Timed out acquiring connection from connection pool.');
    }
    throw new DataApiError(503, 'PGRST000', 'Could not connect with the database', { details: readMessage(error) });
  }
}

/** Time the answer may take beyond the statement time-out, in milliseconds, before the connection counts as dead. */
export const RESPONSE_MARGIN_MS = 2_000;

/** Returns a connection to the pool after an error; closes it instead if it is broken or may still be busy. */
async function releaseAfterError(client: pg.PoolClient, error: unknown): Promise<void> {
  if (!(error instanceof pg.DatabaseError)) return client.release(true);
  await client.query('rollback').then(
    () => client.release(),
    () => client.release(true),
  );
}

/**
 * Calls one function as the caller, in its own transaction: read-only for stable and immutable functions, with role and
 * claims set for this transaction only. The body is sent as a parameter, so that no argument shows up in a statement in
 * the database's log.
 *
 * @param defaultTimeoutMs statement time-out in milliseconds, unless the function sets its own
 * @returns the answer's JSON text, `null` for a function that returns nothing
 * @throws {DataApiError} with the status and code PostgREST answers
 */
export async function callFunction(
  pool: pg.Pool,
  caller: Caller,
  fn: CallableFunction,
  request: { readonly given: readonly string[]; readonly body: string },
  defaultTimeoutMs: number,
): Promise<string | null> {
  const timeoutMs = fn.timeoutMs ?? defaultTimeoutMs;
  const client = await connect(pool);
  try {
    await client.query(
      `begin${fn.readOnly ? ' read only' : ''}; set local statement_timeout = ${timeoutMs}; ` +
        `set local role ${escapeIdentifier(caller.role)}; ` +
        `select set_config('request.jwt.claims', ${escapeLiteral(caller.claims)}, true)`,
    );
    // Postgres cancels a slow statement itself; the query's time-out is for a connection that went silent.
    const call = {
      text: buildCall(fn, request.given),
      values: [request.body],
      query_timeout: timeoutMs + RESPONSE_MARGIN_MS,
    };
    const { rows } = await client.query<{ body: string | null }>(call);
    await client.query('commit');
    client.release();
    return fn.returns === 'void' ? null : (rows[0]?.body ?? 'null');
  } catch (error) {
    await releaseAfterError(client, error);
    throw toDataApiError(error, caller);
  }
}
