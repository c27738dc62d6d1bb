import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import pg from 'pg';
import { registerUser } from '../../helpers/accounts.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { hold, recordUses } from '../../helpers/usage.js';

const server = await openTestServer(t);
const { database } = server;

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows'?: number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly PlanNode[];
}
const Logged = Type.Object({ 'Query Text': Type.String(), Plan: Type.Unsafe<PlanNode>(Type.Object({})) });

const flat = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(flat)];

/** Runs a statement as a person; returns the plans of every statement in its functions, as they were executed. */
async function explain(user: string, mode: string, statement: string): Promise<PlanNode[]> {
  const client = new pg.Client({ connectionString: database.adminUrl });
  await client.connect();
  const plans: PlanNode[] = [];
  client.on('notice', ({ message = '' }) => {
    const logged: unknown = /plan:\n/.test(message) ? JSON.parse(message.slice(message.indexOf('{'))) : undefined;
    if (Value.Check(Logged, logged)) plans.push(...flat(logged.Plan));
  });
  try {
    await client.query(
      `load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on;
       set auto_explain.log_analyze = on; set auto_explain.log_format = json; set auto_explain.log_level = notice;
       set plan_cache_mode = ${mode}`,
    );
    await client.query('begin; set local role authenticated');
    const claims = JSON.stringify({ role: 'authenticated', sub: user });
    await client.query(`select set_config('request.jwt.claims', $1, true)`, [claims]);
    plans.length = 0;
    await client.query(statement);
    return plans;
  } finally {
    await client.end();
  }
}

/** Creates entries and closed holds of many others, without which reading everything would be the best plan. */
async function othersWithEntriesAndHolds(): Promise<void> {
  await database.sql(
    `insert into ledger_entries (subject_id, kind, amount, period, actor)
     select gen_random_uuid(), 'grant', 1, 1, 'test' from generate_series(1, 20000)`,
  );
  await database.sql(
    `insert into reservations (subject_id, amount, status, model, prompt_count, expires_at)
     select gen_random_uuid(), 1, 'expired', 'gpt-5', 1, now() from generate_series(1, 20000)`,
  );
}

const BOOKS = /^(usage_events|reservations|ledger_entries)/;

const touched = (node: PlanNode) => (node['Actual Rows'] ?? 0) + (node['Rows Removed by Filter'] ?? 0);

/** Asserts that only indexes were read, and of them no row in vain and no more than a page. */
function assertFromIndexes(t: Test, plans: readonly PlanNode[], most: number): void {
  const scans = plans.filter((node) => BOOKS.test(node['Relation Name'] ?? ''));
  t.ok(
    scans.some((node) => node['Relation Name']?.startsWith('usage_events')),
    'events were looked for',
  );
  for (const node of scans.filter((each) => touched(each) > 0)) {
    const name = `${node['Node Type']} of ${node['Relation Name']}`;
    t.match(node['Node Type'], /^(Index|Bitmap)/, name);
    t.equal(node['Rows Removed by Filter'] ?? 0, 0, `${name} reads no row in vain`);
    t.ok(touched(node) <= most, `${name} reads no more than a page`);
  }
}

t.test('among 200,000 events that cost nothing, a page is read from indexes alone', async (t) => {
  const ada = await registerUser(server);
  const observed = { subject: ada.id, user: ada.id, count: 50_000, together: 10 };
  for (const at of ['2026-10-01', '2026-10-20', '2026-11-01', '2026-11-10'])
    await recordUses(database, { ...observed, at });
  const chat = { subject: ada.id, user: ada.id, source: 'chat', cost: 3 } as const;
  await recordUses(database, { ...chat, count: 2_000, at: '2026-10-05' });
  await recordUses(database, { ...chat, count: 2_000, at: '2026-11-05' });
  for (let n = 0; n < 20; n += 1) await hold(database, ada.id, 1, '2026-11-06');
  await othersWithEntriesAndHolds();
  await database.sql('analyze');

  const first = `select public.my_ledger(50)`;
  const middle = `select public.my_ledger(50, '2026-11-05T00:00:00.000005Z', 'debit', '${ada.id}')`;
  for (const mode of ['force_custom_plan', 'force_generic_plan']) {
    for (const statement of [first, middle]) assertFromIndexes(t, await explain(ada.id, mode, statement), 50);
  }
});

t.test('a page of the export is read from indexes alone', async (t) => {
  const ada = await registerUser(server);
  const device = await server.registerDevice();
  await recordUses(database, { subject: ada.id, user: ada.id, count: 20_000, at: '2026-11-01' });
  await recordUses(database, { subject: device.id, user: ada.id, device: device.id, count: 20_000, at: '2026-11-01' });
  await recordUses(database, { subject: device.id, device: device.id, count: 20_000, at: '2026-11-01' });
  await database.sql('analyze');
  const middle = `select public.export_usage_events(100, '2026-11-01T00:00:05Z', '${ada.id}')`;
  for (const mode of ['force_custom_plan', 'force_generic_plan']) {
    assertFromIndexes(t, await explain(ada.id, mode, middle), 100);
  }
});

t.end();
