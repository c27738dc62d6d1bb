import pg from 'pg';
import { DEFINERS_FOR_CALLERS, LINTS } from '../helpers/db/lints.js';
import { openTestDatabase } from '../helpers/db/test-database.js';
import t from '../helpers/run/tap.js';

const database = await openTestDatabase(t);
const client = new pg.Client({ connectionString: database.adminUrl });
await client.connect();
t.after(() => client.end());

async function find(query: string): Promise<string[]> {
  return (await client.query<{ object: string }>(query)).rows.map(({ object }) => object).sort();
}

for (const { name, query, example, found } of LINTS) {
  t.test(`${name}: nothing is found, and what should be is`, async (t) => {
    t.strictSame(await find(query), []);
    await client.query('begin');
    try {
      await client.query(example);
      t.strictSame(await find(query), [found]);
    } finally {
      await client.query('rollback');
    }
  });
}

t.test('every definer function a caller may execute is written down, and those written down are', async (t) => {
  const executable = await find(`
    select p.oid::regprocedure::text as object from pg_proc p
     where p.pronamespace = 'public'::regnamespace and p.prosecdef and has_function_privilege('authenticated', p.oid, 'execute')`);
  t.strictSame(executable, DEFINERS_FOR_CALLERS);
});

t.end();
