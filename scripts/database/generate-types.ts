import { generateTypescript, sortGeneratorMetadata } from '@supabase/postgrest-typegen/generation';
import { introspect } from '@supabase/postgrest-typegen/introspection';
import pg from 'pg';

/** What `npm run types` writes, below the project's folder. */
export const TYPES_FILE = 'src/platform/database/client/types.ts';

/** First line of what the generator adds for tables, which nobody here reads. */
const TABLE_HELPERS = '\ntype DatabaseWithoutInternals';

/** The functions the server may call; those for the SQL editor are granted to nobody. */
const CALLABLE = `
  select p.oid::integer as id from pg_proc p
   where has_function_privilege('service_role', p.oid, 'execute') or has_function_privilege('authenticated', p.oid, 'execute')`;

/**
 * Generates the TypeScript types supabase-js takes from the schema `public` of a database: its functions, as `.rpc()` is
 * the only verb.
 */
export async function generateTypes(connectionString: string): Promise<string> {
  const pool = new pg.Pool({ connectionString, max: 1 });
  try {
    const found = await introspect(pool, { includedSchemas: ['public'] });
    const { rows } = await pool.query<{ id: number }>(CALLABLE);
    const callable = new Set(rows.map(({ id }) => id));
    const functions = found.functions.filter(({ id }) => callable.has(id));
    const metadata = {
      ...found,
      functions,
      tables: [],
      foreignTables: [],
      views: [],
      materializedViews: [],
      columns: [],
    };
    const text = await generateTypescript(sortGeneratorMetadata(metadata), { postgrestVersion: '13' });
    return text.slice(0, text.indexOf(TABLE_HELPERS));
  } finally {
    await pool.end();
  }
}
