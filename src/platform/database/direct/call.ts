import pg from 'pg';
import type { CallableFunction } from './catalog.js';
import type { Caller } from './claims.js';
import { DataApiFailure } from './failure.js';
import { statusOfSqlstate } from './sqlstate.js';

const { escapeIdentifier, escapeLiteral } = pg;

/** By its text only does the pool tell a wait for a free connection from one for Postgres itself. */
const NO_FREE_CONNECTION = 'timeout exceeded when trying to connect';

/**
 * The query that calls a function with its arguments as one JSON object in `$1`, converted by Postgres to the
 * declared types, and that answers the JSON text PostgREST would.
 */
function callSql(fn: CallableFunction, given: readonly string[]): string {
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

function failureOf(error: unknown, caller: Caller): DataApiFailure {
  if (error instanceof pg.DatabaseError && error.code !== undefined) {
    return new DataApiFailure(statusOfSqlstate(error.code, caller.role !== 'anon'), error.code, error.message, {
      details: error.detail ?? null,
      hint: error.hint ?? null,
    });
  }
  return new DataApiFailure(503, 'PGRST001', 'Database client error', { details: messageOf(error) });
}

function messageOf(error: unknown): string | null {
  return error instanceof Error ? error.message : null;
}

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    if (messageOf(error) === NO_FREE_CONNECTION) {
      throw new DataApiFailure(504, 'PGRST003', 'Timed out acquiring connection from connection pool.');
    }
    throw new DataApiFailure(503, 'PGRST000', 'Could not connect with the database', { details: messageOf(error) });
  }
}

/** How much longer than the statement time-out an answer may take, in milliseconds, before Postgres counts as silent. */
export const SILENCE_MS = 2_000;

/** Hands a connection back after a failure; one that may still be at work, or is broken, is closed instead. */
async function recover(client: pg.PoolClient, error: unknown): Promise<void> {
  if (!(error instanceof pg.DatabaseError)) return client.release(true);
  await client.query('rollback').then(
    () => client.release(),
    () => client.release(true),
  );
}

/**
 * Calls one function as the caller, in a transaction of its own: read-only for stable and immutable functions,
 * role and claims set for this transaction only. The body travels as a parameter, so that no statement carries
 * an argument into the database's log.
 *
 * @param defaultTimeoutMs statement time-out, in milliseconds, where the function sets none for itself
 * @returns the answer's JSON text, `null` for a function that returns nothing
 * @throws {DataApiFailure} with the status and code PostgREST answers
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
    // Postgres ends a slow statement itself; the time-out of the query is for one that went silent.
    const call = { text: callSql(fn, request.given), values: [request.body], query_timeout: timeoutMs + SILENCE_MS };
    const { rows } = await client.query<{ body: string | null }>(call);
    await client.query('commit');
    client.release();
    return fn.returns === 'void' ? null : (rows[0]?.body ?? 'null');
  } catch (error) {
    await recover(client, error);
    throw failureOf(error, caller);
  }
}
