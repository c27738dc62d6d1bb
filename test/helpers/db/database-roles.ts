import pg from 'pg';
import type { Test } from 'tap';
import type { TestDatabase } from './test-database.js';

/** Claims of a database token. */
export type Claims = Readonly<Record<string, string>>;
/** The rows of a statement, or its SQLSTATE. */
export type Outcome = Record<string, unknown>[] | string;

/** A table, partition or view. */
export interface Relation {
  readonly name: string;
  readonly columns: string[];
}

/** A database as its API roles see it. */
export interface DatabaseRoles {
  /** Runs one statement as an API role with claims, and rolls it back. */
  readonly runAs: (role: string, claims: Claims, statement: string) => Promise<Outcome>;
  /** Every table, partition and view of our schemas. */
  readonly relations: readonly Relation[];
  /** The columns of a relation `authenticated` may read. */
  readonly readableColumns: (relation: Relation) => Promise<string[]>;
  /** Reads every row and column of a relation that somebody with these claims may read; or returns the SQLSTATE. */
  readonly visible: (relation: Relation, claims: Claims) => Promise<string[] | string>;
}

const RELATIONS = `
  select format('%I.%I', n.nspname, c.relname) as name,
         (select array_agg(quote_ident(a.attname)::text order by a.attnum) from pg_attribute a
           where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname in ('public', 'private', 'contracts')
   order by 1`;

/** Opens a connection to act as the API roles with; it ends with the test. */
export async function openDatabaseRoles(t: Test, database: TestDatabase): Promise<DatabaseRoles> {
  const client = new pg.Client({ connectionString: database.adminUrl });
  await client.connect();
  t.after(() => client.end());

  const runAs = async (role: string, claims: Claims, statement: string): Promise<Outcome> => {
    await client.query('begin');
    try {
      await client.query(`set local role ${role}`);
      await client.query(`select set_config('request.jwt.claims', $1, true)`, [JSON.stringify({ role, ...claims })]);
      return (await client.query<Record<string, unknown>>(statement)).rows;
    } catch (error) {
      if (error instanceof pg.DatabaseError && error.code !== undefined) return error.code;
      throw error;
    } finally {
      await client.query('rollback');
    }
  };
  const readableColumns = async ({ name, columns }: Relation): Promise<string[]> => {
    const granted = await database.sql<{ name: string }>(
      `select c as name from unnest($2::text[]) c where has_column_privilege('authenticated', $1::regclass, trim('"' from c), 'select')`,
      [name, columns],
    );
    return granted.map((column) => column.name);
  };
  return {
    runAs,
    relations: await database.sql<Relation & pg.QueryResultRow>(RELATIONS),
    readableColumns,
    visible: async (relation, claims) => {
      const columns = (await readableColumns(relation)).join(', ') || '*';
      const rows = await runAs('authenticated', claims, `select ${columns} from ${relation.name}`);
      return typeof rows === 'string' ? rows : rows.map((row) => JSON.stringify(row));
    },
  };
}

/** Builds a statement for every way to write to a relation. */
export function buildWrites({ name, columns }: Relation): string[] {
  const updates = columns.map((column) => `update ${name} set ${column} = ${column}`);
  return [`insert into ${name} default values`, ...updates, `delete from ${name}`, `truncate ${name}`];
}

/**
 * Tells whether a statement was refused for lack of a privilege, or before privileges are checked: a view that cannot be written (55000),
 * a generated id (428C9), a trigger's function (0A000), a view truncated (42809).
 */
export function isRefused(outcome: Outcome): boolean {
  return typeof outcome === 'string' && ['42501', '55000', '428C9', '0A000', '42809'].includes(outcome);
}
