import type pg from 'pg';
import { DataApiFailure } from './failure.js';

/** A named argument of a function. */
export interface Argument {
  readonly name: string;
  readonly type: string;
  readonly optional: boolean;
  readonly variadic: boolean;
}

/** What the Data API must know of a function to call it. */
export interface CallableFunction {
  readonly name: string;
  readonly arguments: readonly Argument[];
  readonly readOnly: boolean;
  /** The time-out the function sets for itself, in milliseconds. */
  readonly timeoutMs: number | undefined;
  /** `scalar`: one value; `row`: one object; `values` and `rows`: a list of them; `void`: nothing. */
  readonly returns: 'scalar' | 'row' | 'values' | 'rows' | 'void';
}

/**
 * Functions of the exposed schema that can be called by name: all inputs named, no triggers. Outputs may stand
 * between the inputs in `proargnames`, never in `proargtypes`; defaults belong to the last inputs. A function with
 * output columns returns an object even where it is only one.
 */
const FUNCTIONS_SQL = `
  select p.proname as name,
         p.provolatile <> 'v' as read_only,
         (select extract(epoch from split_part(c, '=', 2)::interval)::integer * 1000
            from unnest(p.proconfig) c where c like 'statement\\_timeout=%') as timeout_ms,
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
  set_returning: boolean;
  returns_void: boolean;
  composite: boolean;
  arguments: Argument[];
}

function returnsOf(row: FunctionRow): CallableFunction['returns'] {
  if (row.returns_void) return 'void';
  if (row.set_returning) return row.composite ? 'rows' : 'values';
  return row.composite ? 'row' : 'scalar';
}

function callable(row: FunctionRow): CallableFunction {
  return {
    name: row.name,
    arguments: row.arguments,
    readOnly: row.read_only,
    timeoutMs: row.timeout_ms ?? undefined,
    returns: returnsOf(row),
  };
}

function accepts(candidate: CallableFunction, given: readonly string[]): boolean {
  const known = candidate.arguments.map((argument) => argument.name);
  const required = candidate.arguments.filter((argument) => !argument.optional);
  return given.every((name) => known.includes(name)) && required.every(({ name }) => given.includes(name));
}

function signatureOf(candidate: CallableFunction): string {
  const parameters = candidate.arguments.map(({ name, type }) => `${name} => ${type}`);
  return `public.${candidate.name}(${parameters.join(', ')})`;
}

/** The functions of schema `public`, read once and again when a call names one that is not known. */
export class FunctionCatalog {
  readonly #pool: pg.Pool;
  #functions: Promise<readonly CallableFunction[]> | undefined;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  /**
   * Finds the function that takes exactly these named arguments.
   * @throws {DataApiFailure} 404 PGRST202 where none does, 300 PGRST203 where several do, 503 PGRST002 where the
   *   database cannot be asked
   */
  async resolve(name: string, given: readonly string[]): Promise<CallableFunction> {
    const known = await this.#matching(name, given);
    const found = known.length > 0 ? known : await this.#reloaded(name, given);
    const [match] = found;
    if (match === undefined) {
      const parameters = given.length > 0 ? `(${given.join(', ')})` : ' without parameters';
      throw new DataApiFailure(
        404,
        'PGRST202',
        `Could not find the function public.${name}${parameters} in the schema cache`,
      );
    }
    if (found.length > 1) {
      const candidates = found.map(signatureOf).join(', ');
      throw new DataApiFailure(300, 'PGRST203', `Could not choose the best candidate function between: ${candidates}`);
    }
    return match;
  }

  async #matching(name: string, given: readonly string[]): Promise<CallableFunction[]> {
    this.#functions ??= this.#load();
    const functions = await this.#functions;
    return functions.filter((candidate) => candidate.name === name && accepts(candidate, given));
  }

  async #reloaded(name: string, given: readonly string[]): Promise<CallableFunction[]> {
    this.#functions = undefined;
    return this.#matching(name, given);
  }

  async #load(): Promise<readonly CallableFunction[]> {
    try {
      const { rows } = await this.#pool.query<FunctionRow>(FUNCTIONS_SQL);
      return rows.map(callable);
    } catch (error) {
      this.#functions = undefined;
      throw new DataApiFailure(503, 'PGRST002', 'Could not query the database for the schema cache', {
        details: error instanceof Error ? error.message : null,
      });
    }
  }
}
