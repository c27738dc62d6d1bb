import type pg from 'pg';
import { createOutage, DataApiError } from './data-api-error.js';

/** A named argument of a function. */
export interface Argument {
  readonly name: string;
  readonly type: string;
  readonly optional: boolean;
  readonly variadic: boolean;
}

/** A function as the Data API needs it to call it. */
export interface CallableFunction {
  readonly name: string;
  readonly arguments: readonly Argument[];
  readonly readOnly: boolean;
  /** Statement time-out the function sets for itself, in milliseconds. */
  readonly timeoutMs: number | undefined;
  /**
   * Whether the server's own calls may be made just so, without a role and claims: a definer function with a search path
   * of its own is the same whoever calls it, where both that role and the connection's may.
   */
  readonly callableBare: boolean;
  /** Shape of the answer. `scalar`: one value; `row`: one object; `values`, `rows`: a list of them; `void`: nothing. */
  readonly returns: 'scalar' | 'row' | 'values' | 'rows' | 'void';
}

/**
 * Lists the functions of the exposed schema that can be called by name: all inputs named, no triggers. `proargnames` may
 * hold outputs between the inputs, `proargtypes` never does; defaults belong to the last inputs. A function with output
 * columns returns an object even if it has only one.
 */
const FUNCTIONS_SQL = `
  select p.proname as name,
         p.provolatile <> 'v' as read_only,
         (select extract(epoch from split_part(c, '=', 2)::interval)::integer * 1000
            from unnest(p.proconfig) c where c like 'statement\\_timeout=%') as timeout_ms,
         p.prosecdef and exists (select from unnest(p.proconfig) c where c like 'search\\_path=%')
           and has_function_privilege('service_role', p.oid, 'execute')
           and has_function_privilege(p.oid, 'execute') as callable_bare,
         p.proretset as set_returning,
         p.prorettype = 'void'::regtype as returns_void,
         t.typtype = 'c' or coalesce(p.proargmodes && '{o,b,t}', false) as composite,
         coalesce(inputs.list, '[]') as arguments
    from pg_catalog.pg_proc p
    join pg_catalog.pg_type t on t.oid = p.prorettype
   cross join lateral (
           select count(*) filter (where name <> '') as named,
                  json_agg(json_build_object('name', name,
                                             'type', format_type(p.proargtypes[n - 1], null),
                                             'optional', n > p.pronargs - p.pronargdefaults,
                                             'variadic', mode is not distinct from 'v') order by n) as list
             from (select name, mode, (row_number() over (order by position))::integer as n
                     from unnest(p.proargnames, p.proargmodes) with ordinality as declared(name, mode, position)
                    where mode is null or mode in ('i', 'b', 'v')) as input
         ) as inputs
   where p.pronamespace = 'public'::regnamespace and p.prokind = 'f'
     and p.prorettype <> 'trigger'::regtype and inputs.named = p.pronargs`;

interface FunctionRow {
  name: string;
  read_only: boolean;
  timeout_ms: number | null;
  callable_bare: boolean;
  set_returning: boolean;
  returns_void: boolean;
  composite: boolean;
  arguments: Argument[];
}

function toReturnKind(row: FunctionRow): CallableFunction['returns'] {
  if (row.returns_void) return 'void';
  if (row.set_returning) return row.composite ? 'rows' : 'values';
  return row.composite ? 'row' : 'scalar';
}

function toCallable(row: FunctionRow): CallableFunction {
  return {
    name: row.name,
    arguments: row.arguments,
    readOnly: row.read_only,
    timeoutMs: row.timeout_ms ?? undefined,
    callableBare: row.callable_bare,
    returns: toReturnKind(row),
  };
}

/** Tells whether a function can be called with exactly these named arguments. */
function accepts(candidate: CallableFunction, given: readonly string[]): boolean {
  const known = candidate.arguments.map((argument) => argument.name);
  const required = candidate.arguments.filter((argument) => !argument.optional);
  return given.every((name) => known.includes(name)) && required.every(({ name }) => given.includes(name));
}

function formatSignature(candidate: CallableFunction): string {
  const parameters = candidate.arguments.map(({ name, type }) => `${name} => ${type}`);
  return `public.${candidate.name}(${parameters.join(', ')})`;
}

const toKey = (name: string, given: readonly string[]) => `${name} ${given.join()}`;

/** Remembers the functions of schema `public`; reads them again when a call names an unknown one. */
export class FunctionCatalog {
  readonly #pool: pg.Pool;
  #functions: Promise<readonly CallableFunction[]> | undefined;
  /** What was found among these, by the name and the arguments' names. */
  #found = new Map<string, CallableFunction>();

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  /** Returns what {@link resolve} found before; undefined where it was not asked yet. */
  recall(name: string, given: readonly string[]): CallableFunction | undefined {
    return this.#found.get(toKey(name, given));
  }

  /**
   * Finds the function that takes exactly these named arguments.
   * @throws {DataApiError} 404 PGRST202 if none does, 300 PGRST203 if several do, 503 PGRST002 if the
   *   database cannot be asked
   */
  async resolve(name: string, given: readonly string[]): Promise<CallableFunction> {
    // What is found in functions that were forgotten meanwhile is not to be found again.
    const remembered = this.#found;
    const known = await this.#match(name, given);
    const found = known.length > 0 ? known : await this.#reloadAndMatch(name, given);
    const [match] = found;
    if (match === undefined) {
      const parameters = given.length > 0 ? `(${given.join(', ')})` : ' without parameters';
      throw new DataApiError(
        404,
        'PGRST202',
        `Could not find the function public.${name}${parameters} in the schema cache`,
      );
    }
    if (found.length > 1) {
      const candidates = found.map(formatSignature).join(', ');
      throw new DataApiError(300, 'PGRST203', `Could not choose the best candidate function between: ${candidates}`);
    }
    remembered.set(toKey(name, given), match);
    return match;
  }

  /** Has the functions read again with the next call. */
  forget(): void {
    this.#functions = undefined;
    this.#found = new Map();
  }

  async #match(name: string, given: readonly string[]): Promise<CallableFunction[]> {
    this.#functions ??= this.#load();
    const functions = await this.#functions;
    return functions.filter((candidate) => candidate.name === name && accepts(candidate, given));
  }

  async #reloadAndMatch(name: string, given: readonly string[]): Promise<CallableFunction[]> {
    this.forget();
    return this.#match(name, given);
  }

  async #load(): Promise<readonly CallableFunction[]> {
    try {
      const { rows } = await this.#pool.query<FunctionRow>(FUNCTIONS_SQL);
      return rows.map(toCallable);
    } catch (error) {
      this.#functions = undefined;
      throw createOutage('PGRST002', 'Could not query the database for the schema cache', error);
    }
  }
}
