import type pg from 'pg';
import { DataApiFailure } from './failure.js';

/** What the Data API must know of a function to call it. */
export interface CallableFunction {
  readonly name: string;
  readonly arguments: readonly { readonly name: string; readonly type: string; readonly optional: boolean }[];
  readonly readOnly: boolean;
  /** `scalar`: one value; `row`: one composite row; `rows`: a set; `void`: nothing. */
  readonly returns: 'scalar' | 'row' | 'rows' | 'void';
  /** Whether a set is one of rows (composite) or of plain values. */
  readonly composite: boolean;
}

/** Functions of the exposed schema. Input arguments come first in `proargnames`; defaults belong to the last of them. */
const FUNCTIONS_SQL = `
  select p.proname as name,
         p.provolatile <> 'v' as read_only,
         p.proretset as set_returning,
         p.prorettype = 'void'::regtype as returns_void,
         p.prorettype = 'record'::regtype or t.typtype = 'c' as composite,
         coalesce((
           select json_agg(
             json_build_object('name', p.proargnames[n], 'type', format_type(p.proargtypes[n - 1], null),
                               'optional', n > p.pronargs - p.pronargdefaults) order by n)
             from generate_series(1, p.pronargs) as n
         ), '[]'::json) as arguments
    from pg_catalog.pg_proc p
    join pg_catalog.pg_type t on t.oid = p.prorettype
   where p.pronamespace = 'public'::regnamespace and p.prokind = 'f'`;

interface FunctionRow {
  name: string;
  read_only: boolean;
  set_returning: boolean;
  returns_void: boolean;
  composite: boolean;
  arguments: { name: string; type: string; optional: boolean }[];
}

function callable(row: FunctionRow): CallableFunction {
  const single = row.composite ? 'row' : 'scalar';
  return {
    name: row.name,
    arguments: row.arguments,
    readOnly: row.read_only,
    returns: row.returns_void ? 'void' : row.set_returning ? 'rows' : single,
    composite: row.composite,
  };
}

function accepts(candidate: CallableFunction, given: readonly string[]): boolean {
  const known = candidate.arguments.map((argument) => argument.name);
  const required = candidate.arguments.filter((argument) => !argument.optional);
  return given.every((name) => known.includes(name)) && required.every(({ name }) => given.includes(name));
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
   * @throws {DataApiFailure} 404 PGRST202 where none does, 300 PGRST203 where several do
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
      throw new DataApiFailure(300, 'PGRST203', `Could not choose the best candidate function for public.${name}`);
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
      throw error;
    }
  }
}
