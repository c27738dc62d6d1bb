import pg from 'pg';
import { AnyResult } from '../../../src/platform/database/client/database.js';
import { registerUser } from '../../helpers/accounts.js';
import { openTestServer, type TestServer } from '../../helpers/http/test-server.js';
import { countEvents, createUsage, readId, recordAll, type SentUsage } from '../../helpers/observed-usage.js';
import t from '../../helpers/run/tap.js';
import type { Summary } from '../../helpers/summaries.js';
import { recordUses } from '../../helpers/usage.js';

const DAY_MS = 24 * 60 * 60 * 1_000;

/** Returns the middle of the month that many months back. */
function toMiddleOfMonth(monthsBack: number): number {
  const now = new Date();
  return Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - monthsBack, 15, 12);
}
const daysAround = (at: number) => {
  const date = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  return `from=${date(at - 20 * DAY_MS)}&to=${date(at + 20 * DAY_MS)}`;
};

const server = await openTestServer(t, { environment: { RETENTION_MONTHS: '6' } });
const { database } = server;

async function partitions(): Promise<string[]> {
  const rows = await database.sql<{ name: string }>('select name from private.usage_partitions() order by name');
  return rows.map(({ name }) => name);
}
const toPartition = (at: number) => `usage_events_${new Date(at).toISOString().slice(0, 7).replace('-', '_')}`;

/** Drops what is older, and returns what became of each month. */
async function drop(months: number, on: TestServer = server): Promise<unknown[]> {
  const outcomes: unknown[] = [];
  for (;;) {
    const outcome = await on.backend.database.call('drop_expired_month', { p_retention_months: months }, AnyResult);
    if (JSON.stringify(outcome).includes('null')) break;
    outcomes.push(outcome);
    if (JSON.stringify(outcome).includes('false')) break;
  }
  await on.backend.database.call('maintain', { p_retention_months: months }, AnyResult);
  return outcomes;
}

t.test('an event in a month that retention dropped is only counted, and the month stays dropped', async (t) => {
  const user = await registerUser(server);
  const kept = createUsage({ timestamp: toMiddleOfMonth(1) });
  const dropped = [
    createUsage({ timestamp: toMiddleOfMonth(3) }),
    createUsage({ timestamp: toMiddleOfMonth(4), event_id: 'k' }),
  ];
  await recordAll(t, user, [kept, ...dropped]);
  const before = await partitions();
  for (const { timestamp } of dropped) t.ok(before.includes(toPartition(timestamp)));

  t.match(await drop(2), [{ dropped: true }, { dropped: true }]);
  const after = await partitions();
  for (const { timestamp } of dropped) t.notOk(after.includes(toPartition(timestamp)));
  t.ok(after.includes(toPartition(kept.timestamp)));
  t.equal(await countEvents(server, user.id), 1);
  const names = await database.sql('select from private.rollup_names where subject_id = $1', [user.id]);
  t.equal(names.length, 1, 'what names were told apart is kept as long as the events');
  await server.verifyLedger(t);

  // The server itself keeps six months, as if retention had been extended since.
  const late: SentUsage[] = [
    createUsage({ timestamp: toMiddleOfMonth(3) + DAY_MS }),
    createUsage({ timestamp: toMiddleOfMonth(4) - DAY_MS }),
    createUsage({ timestamp: toMiddleOfMonth(5) }),
    { ...(dropped[0] ?? kept) },
  ];
  for (const event of late) {
    const counted = await user.as('POST', '/api/usage', event);
    t.equal(counted.statusCode, 201);
    t.match(counted.json(), { recorded: true, summary_only: true });
  }
  const again = await user.as('POST', '/api/usage', dropped[1]);
  t.match(again.json(), { duplicate: true }, 'what is remembered by its key is answered as before');
  t.equal((await user.as('POST', '/api/usage', createUsage({ timestamp: toMiddleOfMonth(2) }))).statusCode, 201);
  const now = await partitions();
  for (const { timestamp } of late) t.notOk(now.includes(toPartition(timestamp)), 'no month came back');
  await server.verifyLedger(t);

  const summary = await user.as('GET', `/api/usage/summary?${daysAround(toMiddleOfMonth(3))}`);
  t.match(summary.json<Summary>(), { totals: { events: 3 } }, 'the summary has all');
  const list = await user.as('GET', `/api/usage?${daysAround(toMiddleOfMonth(3))}`);
  t.strictSame(list.json(), { usage: [], next_cursor: null });
});

t.test('what a dropped month held is not found when it is to be deleted', async (t) => {
  const fresh = await openTestServer(t, { environment: { RETENTION_MONTHS: '6' } });
  const user = await registerUser(fresh);
  const [id = ''] = await recordAll(t, user, [createUsage({ timestamp: toMiddleOfMonth(3) })]);
  t.match(await drop(1, fresh), [{ dropped: true }]);
  t.equal((await user.as('DELETE', `/api/usage/${id}`)).statusCode, 404);
  await fresh.verifyLedger(t);
});

t.test(
  'an event too old for a shorter retention makes no partition; one whose month is still there is kept until it goes',
  async (t) => {
    const strict = await openTestServer(t, { database, environment: { RETENTION_MONTHS: '1' } });
    const user = await registerUser(strict);
    const before = await partitions();
    const late = await user.as('POST', '/api/usage', createUsage({ timestamp: toMiddleOfMonth(2) }));
    t.strictSame(late.json(), { id: readId(late), recorded: true, duplicate: false }, 'its month was kept above');
    const older = await user.as('POST', '/api/usage', createUsage({ timestamp: toMiddleOfMonth(4) }));
    t.match(older.json(), { recorded: true, summary_only: true });
    t.equal((await user.as('POST', '/api/usage', createUsage({ timestamp: toMiddleOfMonth(1) }))).statusCode, 201);
    t.strictSame(await partitions(), before);
    await server.verifyLedger(t);
  },
);

t.test('a month somebody reads is dropped later, and meanwhile nobody waits', async (t) => {
  const user = await registerUser(server);
  const device = await server.registerDevice();
  const uses = { subject: device.id, device: device.id, source: 'device' as const, cost: 1, count: 3 };
  await recordUses(database, { ...uses, at: new Date(toMiddleOfMonth(2)).toISOString() });
  const name = toPartition(toMiddleOfMonth(2));
  const debit = async () => {
    const used = await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
    t.equal(used.statusCode, 200);
  };
  const reader = new pg.Client({ connectionString: database.adminUrl });
  await reader.connect();
  // One who has read that month, one who has read another, and one who is about to add one.
  const statements = [
    `select from private.${name} limit 1`,
    'select from usage_events where occurred_at > now() limit 1',
    'lock table usage_events in share update exclusive mode',
  ];
  for (const statement of statements) {
    await reader.query('begin');
    await reader.query(statement);
    t.match(await drop(1), [{ month: name.slice(-7).replace('_', '-'), dropped: false }], statement);
    await debit();
    t.equal((await user.as('POST', '/api/usage', createUsage({ timestamp: Date.now() }))).statusCode, 201);
    t.ok((await partitions()).includes(name));
    await reader.query('rollback');
  }
  await reader.end();
  t.match(await drop(1), [{ dropped: true }]);
  t.notOk((await partitions()).includes(name));
  await debit();
  await server.verifyLedger(t);
});

t.test('uses of features are pruned after as many months, and stay counted', async (t) => {
  const user = await registerUser(server);
  for (const monthsBack of [1, 0]) {
    const timestamp = monthsBack === 0 ? Date.now() : toMiddleOfMonth(monthsBack);
    t.equal((await user.as('POST', '/api/events', { name: 'opened', timestamp })).statusCode, 201);
  }
  await database.sql(
    `insert into feature_events (user_id, name, occurred_at)
     select $1, 'old', date_trunc('month', now(), 'UTC') - interval '2 months' + n * interval '1 microsecond'
       from unnest(array[-1, 0]) n`,
    [user.id],
  );
  const names = () =>
    database.sql('select name from feature_events where user_id = $1 order by occurred_at', [user.id]);
  t.strictSame(await database.sql('select private.prune_features(2) as pruned'), [{ pruned: 1 }]);
  t.strictSame(await names(), [{ name: 'old' }, { name: 'opened' }, { name: 'opened' }], 'to the microsecond');
  t.strictSame(await database.sql('select private.prune_features(1) as pruned'), [{ pruned: 1 }]);
  t.strictSame(await names(), [{ name: 'opened' }, { name: 'opened' }]);
  await database.sql(`update feature_events set occurred_at = occurred_at - interval '1 year'`);
  t.strictSame(await database.sql('select private.prune_features(1) as pruned'), [{ pruned: 2 }]);
  const summary = await user.as('GET', `/api/events/summary?${daysAround(toMiddleOfMonth(0) - 25 * DAY_MS)}`);
  t.match(summary.json(), { series: [{ name: 'opened' }] }, 'the counts stay');
});

t.end();
