import pg from 'pg';
import { createDatabase, runSql } from '../../scripts/database/databases.js';
import { migrate } from '../../src/platform/database/migrations/migrations.js';
import { listGrants, readGrants } from '../helpers/db/grants.js';
import { openTestDatabase } from '../helpers/db/test-database.js';
import t, { type Test } from '../helpers/run/tap.js';

const database = await openTestDatabase(t);

/** Lists the grants of a database that nobody has written, and those written that are not in force. */
async function auditGrants(t: Test, url: string): Promise<{ unwritten: string[]; missing: string[] }> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const query = async <Row extends Record<string, string>>(text: string, values?: unknown[]) =>
    (await client.query<Row>(text, values)).rows;
  try {
    const [inForce, written] = [await listGrants(query), await readGrants(query)];
    t.ok(inForce.length > 100);
    return {
      unwritten: inForce.filter((line) => !written.includes(line)),
      missing: written.filter((line) => !inForce.includes(line)),
    };
  } finally {
    await client.end();
  }
}

t.test('every grant in force is written beside what it is for, and every one written is in force', async (t) => {
  t.strictSame(await auditGrants(t, database.adminUrl), { unwritten: [], missing: [] });
});

t.test('the same holds where everything new was granted to the API roles, as on a hosted Supabase', async (t) => {
  const url = await createDatabase(database.adminUrl, 'hosted');
  await runSql(
    url,
    `alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
     alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
     alter default privileges in schema public grant all on functions to anon, authenticated, service_role;`,
  );
  await migrate(url);
  t.strictSame(await auditGrants(t, url), { unwritten: [], missing: [] });
});

t.test('a grant nobody has written is found, whatever it is on', async (t) => {
  const url = await createDatabase(database.adminUrl, 'planted');
  await migrate(url);
  await runSql(
    url,
    `grant usage on schema private to authenticated;
     grant select on table public.budgets to anon;
     grant update (name) on table public.users to authenticated;
     grant usage on sequence public.audit_log_id_seq to service_role;
     grant execute on function private.audit(text, text, text, text, jsonb, jsonb, text) to public;
     revoke select on table public.balances from authenticated;`,
  );
  t.strictSame(await auditGrants(t, url), {
    unwritten: [
      'execute on function private.audit(text,text,text,text,jsonb,jsonb,text) to public',
      'select on table budgets to anon',
      'update on column users.name to authenticated',
      'usage on schema private to authenticated',
      'usage on sequence audit_log_id_seq to service_role',
    ],
    missing: ['select on table balances to authenticated'],
  });
});

t.end();
