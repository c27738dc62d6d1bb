import pg from 'pg';
import { findPoolerProblem } from '../pooler-problem.js';
import type { CallableFunction } from './catalog.js';
import type { Caller } from './claims.js';
import { createOutage, DataApiError } from './data-api-error.js';
import { type Statement, sendTogether } from './flight.js';
import type { SentTo } from './pulse.js';
import { findSession, markAsPooled, toSentTo } from './session.js';
import { toHttpStatus } from './sqlstate.js';
import { buildCallStatement, READ_ONLY } from './statement.js';

/** The pool's only sign that all its connections are busy, rather than Postgres itself being slow, is this text. */
const NO_FREE_CONNECTION = 'timeout exceeded when trying to connect';

/** Translates an error of the driver into the one PostgREST answers. */
function toDataApiError(error: unknown, caller: Caller): DataApiError {
  const isPoolers = findPoolerProblem(error) !== undefined;
  if (error instanceof pg.DatabaseError && error.code !== undefined && !isPoolers) {
    return new DataApiError(toHttpStatus(error.code, caller.role !== 'anon'), error.code, error.message, {
      details: error.detail ?? null,
      hint: error.hint ?? null,
    });
  }
  return createOutage('PGRST001', 'Database client error', error);
}

function readMessage(error: unknown): string | null {
  return error instanceof Error ? error.message : null;
}

/** Most calls that wait for a connection; more than these would not get one in time. */
const MOST_WAITING = 200;

/**
 * Takes a connection from the pool.
 * @throws {DataApiError} 504 PGRST003 if none became free in time or too many wait, 503 PGRST000 if Postgres cannot be reached
 */
async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    if (pool.waitingCount >= MOST_WAITING) throw new Error(NO_FREE_CONNECTION);
    return await pool.connect();
  } catch (error) {
    if (readMessage(error) === NO_FREE_CONNECTION) {
      throw new DataApiError(504, 'PGRST003', 'Timed out acquiring connection from connection pool.');
    }
    throw createOutage('PGRST000', 'Could not connect with the database', error);
  }
}

/** Time the answer may take beyond the statement time-out, in milliseconds, before the connection counts as dead. */
export const RESPONSE_MARGIN_MS = 2_000;

/** SQLSTATEs of a kept statement that is not there, or was there before: somebody else had the session meanwhile. */
const KEPT_STATEMENT_LOST: readonly (string | undefined)[] = ['26000', '42P05'];

/** One call, ready to be sent. */
interface Call {
  readonly caller: Caller;
  readonly fn: CallableFunction;
  /** Names of its arguments. */
  readonly given: readonly string[];
  /** Its arguments as one JSON object. */
  readonly body: string;
  /** Statement time-out, in milliseconds. */
  readonly timeoutMs: number;
}

const SETTINGS = `select set_config('role', $1, true), set_config('request.jwt.claims', $2, true),
                         set_config('statement_timeout', $3, true)`;

/** Builds the statement that sets role, claims, time-out and mode for the rest of the transaction. */
function buildSettings({ caller, fn, timeoutMs }: Call): Statement {
  const values = [caller.role, caller.claims, String(timeoutMs)];
  // Only ever to the stricter: a database that is read-only altogether stays so.
  if (fn.readOnly) return { name: 'read-only settings', text: `${SETTINGS}, ${READ_ONLY}`, values };
  return { name: 'settings', text: SETTINGS, values };
}

const withoutName = ({ text, values }: Statement): Statement => ({ text, values });

/**
 * Runs statements in a transaction, each only after the one before it: some poolers give the statements of one flight to
 * different sessions.
 */
async function runInTransaction(
  client: pg.ClientBase,
  statements: readonly Statement[],
  limitMs: number,
): Promise<string | null> {
  await client.query('begin');
  let value: string | null = null;
  for (const statement of statements) value = await sendTogether(client, [withoutName(statement)], limitMs);
  await client.query('commit');
  return value;
}

/**
 * Runs a call in the fewest round trips that are safe: one statement for the server's own calls of functions that are the
 * same whoever calls them, one flight with the settings before it for others, and step by step through a pooler.
 */
function run(client: pg.ClientBase, call: Call): Promise<string | null> {
  const { caller, fn, given, body, timeoutMs } = call;
  const { pooled, bounded } = findSession(client);
  const isAlone = caller.isServer && fn.callableBare && fn.timeoutMs === undefined && bounded;
  const statement = buildCallStatement(fn, given, body, isAlone);
  // Postgres cancels a slow statement itself; this limit is for a connection that went silent.
  const limitMs = timeoutMs + RESPONSE_MARGIN_MS;
  if (isAlone) return sendTogether(client, [pooled ? withoutName(statement) : statement], limitMs);
  const statements = [buildSettings(call), statement];
  return pooled ? runInTransaction(client, statements, limitMs) : sendTogether(client, statements, limitMs);
}

/** Runs a call; once more, without them, where statements the connection kept are gone: nothing of it ran then. */
async function runWithKeptStatements(client: pg.ClientBase, call: Call): Promise<string | null> {
  try {
    return await run(client, call);
  } catch (error) {
    const isLost = error instanceof pg.DatabaseError && KEPT_STATEMENT_LOST.includes(error.code);
    if (!isLost || findSession(client).pooled) throw error;
    markAsPooled(client);
    return run(client, call);
  }
}

/** SQLSTATE of a missing privilege. */
const INSUFFICIENT_PRIVILEGE = '42501';

/**
 * Returns a connection to the pool after an error; closes it instead if it is broken, may still be busy, or was made while its
 * user might not become the server's role, and so would be refused for good.
 */
async function releaseAfterError(client: pg.PoolClient, error: unknown): Promise<void> {
  const isUsable = error instanceof pg.DatabaseError && error.severity === 'ERROR';
  if (!isUsable || error.code === INSUFFICIENT_PRIVILEGE) return client.release(true);
  if (!findSession(client).pooled) return client.release();
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
 * @param onSent is told which session has the call
 * @returns the answer's JSON text, `null` for a function that returns nothing
 * @throws {DataApiError} with the status and code PostgREST answers
 */
export async function callFunction(
  pool: pg.Pool,
  caller: Caller,
  fn: CallableFunction,
  request: { readonly given: readonly string[]; readonly body: string },
  defaultTimeoutMs: number,
  onSent: (session: SentTo | undefined) => void,
): Promise<string | null> {
  const client = await connect(pool);
  try {
    const call = { ...request, caller, fn, timeoutMs: fn.timeoutMs ?? defaultTimeoutMs };
    onSent(toSentTo(client));
    const body = await runWithKeptStatements(client, call);
    client.release();
    return fn.returns === 'void' ? null : (body ?? 'null');
  } catch (error) {
    await releaseAfterError(client, error);
    throw toDataApiError(error, caller);
  }
}
