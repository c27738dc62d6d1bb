import { createHash } from 'node:crypto';
import pg from 'pg';
import type { CallableFunction } from './catalog.js';

const { escapeIdentifier } = pg;

/** Makes the rest of the transaction read-only; volatile, so that it is evaluated before what reads the row it stands in. */
export const READ_ONLY = `set_config('transaction_read_only', 'on', true)`;

/**
 * Builds the query that calls a function and returns the JSON text PostgREST would. Its arguments are one JSON object in
 * `$1`, which Postgres converts to the declared types, so that none shows up in a statement in the database's log.
 *
 * @param given names of the arguments
 * @param isAlone whether it is a transaction by itself, and makes that read-only for functions that are
 */
function buildCall(fn: CallableFunction, given: readonly string[], isAlone: boolean): string {
  const used = fn.arguments.filter(({ name }) => given.includes(name));
  const columns = used.map(({ name, type }) => `${escapeIdentifier(name)} ${type}`).join(', ');
  const named = used.map(({ name, variadic }) => {
    const identifier = escapeIdentifier(name);
    return `${variadic ? 'variadic ' : ''}${identifier} => args.${identifier}`;
  });
  const invocation = `public.${escapeIdentifier(fn.name)}(${named.join(', ')})`;
  const parsed = used.length > 0 ? `json_to_record($1::json) as args(${columns})` : '(select $1::json) as args';
  const source = isAlone && fn.readOnly ? `(select args.*, ${READ_ONLY} from ${parsed} offset 0) as args` : parsed;
  switch (fn.returns) {
    case 'void':
      return `select ${invocation} from ${source}`;
    case 'scalar':
      return `select to_json(${invocation})::text from ${source}`;
    case 'row':
      return `select to_json(r)::text from ${source}, lateral (select * from ${invocation}) as r`;
    case 'values':
      return `select coalesce(json_agg(r.v), '[]')::text from (select ${invocation} as v from ${source}) as r`;
    case 'rows':
      return `select coalesce(json_agg(r), '[]')::text from ${source}, lateral (select * from ${invocation}) as r`;
  }
}

/** A query that calls a function, and the name a connection may keep it under. */
export interface CallStatement {
  readonly text: string;
  readonly name: string;
}

const statements = new WeakMap<CallableFunction, Map<string, CallStatement>>();

/** Returns the query that calls a function with these arguments, built once: see {@link buildCall}. */
export function findCallStatement(fn: CallableFunction, given: readonly string[], isAlone: boolean): CallStatement {
  const known = statements.get(fn) ?? new Map<string, CallStatement>();
  if (known.size === 0) statements.set(fn, known);
  const key = `${isAlone} ${given.join()}`;
  const earlier = known.get(key);
  if (earlier !== undefined) return earlier;
  const text = buildCall(fn, given, isAlone);
  // Postgres cuts names off at 63 bytes, and the text changes with the function's arguments.
  const name = `${fn.name.slice(0, 40)}_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`;
  const statement = { text, name };
  known.set(key, statement);
  return statement;
}
