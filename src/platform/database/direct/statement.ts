import { createHash } from 'node:crypto';
import pg from 'pg';
import type { Argument, CallableFunction } from './catalog.js';
import type { Statement } from './flight.js';

const { escapeIdentifier } = pg;

/** Makes the rest of the transaction read-only; volatile, so that it is evaluated before what reads the row it stands in. */
export const READ_ONLY = `set_config('transaction_read_only', 'on', true)`;

/** Builds the source of a call's arguments. */
function buildSource(used: readonly Argument[], isList: boolean): string {
  if (used.length === 0) return '(select $1::json) as args';
  if (isList) return `(select $1::jsonb) as args(${used.map(({ name }) => escapeIdentifier(name)).join()})`;
  return `json_to_record($1::json) as args(${used.map(({ name, type }) => `${escapeIdentifier(name)} ${type}`).join(', ')})`;
}

/**
 * Builds the query that calls a function and returns the JSON text PostgREST would. Its arguments are one JSON object in
 * `$1`, which Postgres converts to the declared types, so that none shows up in a statement in the database's log.
 *
 * @param given names of the arguments
 * @param isAlone whether it is a transaction by itself, and makes that read-only for functions that are
 * @param isList whether `$1` is the only argument itself, see {@link findOnlyList}
 */
function buildCall(fn: CallableFunction, given: readonly string[], isAlone: boolean, isList: boolean): string {
  const used = fn.arguments.filter(({ name }) => given.includes(name));
  const named = used.map(({ name, variadic }) => {
    const identifier = escapeIdentifier(name);
    return `${variadic ? 'variadic ' : ''}${identifier} => args.${identifier}`;
  });
  const invocation = `public.${escapeIdentifier(fn.name)}(${named.join(', ')})`;
  const source = buildSource(used, isList);
  const from = isAlone && fn.readOnly ? `(select args.*, ${READ_ONLY} from ${source} offset 0) as args` : source;
  switch (fn.returns) {
    case 'void':
      return `select ${invocation} from ${from}`;
    case 'scalar':
      return `select to_json(${invocation})::text from ${from}`;
    case 'row':
      return `select to_json(r)::text from ${from}, lateral (select * from ${invocation}) as r`;
    case 'values':
      return `select coalesce(json_agg(r.v), '[]')::text from (select ${invocation} as v from ${from}) as r`;
    case 'rows':
      return `select coalesce(json_agg(r), '[]')::text from ${from}, lateral (select * from ${invocation}) as r`;
  }
}

/**
 * Finds the text of a call's only argument, where that is a list for `jsonb`: what is metered. Taking it out of an object costs
 * Postgres more than reading it.
 */
function findOnlyList(fn: CallableFunction, given: readonly string[], body: string): string | undefined {
  const [name] = given;
  if (given.length !== 1 || fn.arguments.find((argument) => argument.name === name)?.type !== 'jsonb') return undefined;
  const start = `{"${name}":[`;
  return body.startsWith(start) && body.endsWith(']}') ? body.slice(start.length - 1, -1) : undefined;
}

/** A query that calls a function, and the name a connection may keep it under. */
interface CallQuery {
  readonly text: string;
  readonly name: string;
}

const queries = new WeakMap<CallableFunction, Map<string, CallQuery>>();

/** Returns the query that calls a function with these arguments, built once: see {@link buildCall}. */
function findQuery(fn: CallableFunction, given: readonly string[], isAlone: boolean, isList: boolean): CallQuery {
  const known = queries.get(fn) ?? new Map<string, CallQuery>();
  if (known.size === 0) queries.set(fn, known);
  const key = `${isAlone} ${isList} ${given.join()}`;
  const earlier = known.get(key);
  if (earlier !== undefined) return earlier;
  const text = buildCall(fn, given, isAlone, isList);
  // Postgres cuts names off at 63 bytes, and the text changes with the function's arguments.
  const name = `${fn.name.slice(0, 40)}_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`;
  const query = { text, name };
  known.set(key, query);
  return query;
}

/**
 * Builds the statement that calls a function.
 * @param given names of the arguments
 * @param body the arguments as the text of one JSON object
 * @param isAlone whether it is a transaction by itself
 */
export function buildCallStatement(
  fn: CallableFunction,
  given: readonly string[],
  body: string,
  isAlone: boolean,
): Statement {
  const list = findOnlyList(fn, given, body);
  return { ...findQuery(fn, given, isAlone, list !== undefined), values: [list ?? body] };
}
