import pg from 'pg';
import { AnyResult } from '../../../src/platform/database/client/database.js';
import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { createUsage, recordAll } from '../../helpers/observed-usage.js';
import t from '../../helpers/run/tap.js';
import { recordUses } from '../../helpers/usage.js';

const server = await openTestServer(t);
const { database } = server;
const admin = await logInAsAdmin(server);
const user = await registerUser(server);
const device = await server.registerDevice();

/** The middle of the month that many months back. */
function toMiddle(monthsBack: number): Date {
  const now = new Date();
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - monthsBack, 15, 12));
}
const toLabel = (monthsBack: number) => toMiddle(monthsBack).toISOString().slice(0, 7);
const SEALED = 'sealed months are as they were sealed';

const keepSeals = () => server.backend.database.call('keep_seals', {}, AnyResult);
async function sealAll(): Promise<unknown[]> {
  const done: unknown[] = [];
  for (;;) {
    const outcome = await keepSeals();
    if (JSON.stringify(outcome) === '{"ran":true}') return done;
    done.push(outcome);
  }
}
const isSealed = async (monthsBack: number) => {
  const { months } = (await admin.as('GET', '/api/admin/ledger/months')).json<{
    months: { month: string; sealed: boolean }[];
  }>();
  return months.find(({ month }) => month === toLabel(monthsBack))?.sealed;
};

/** Runs statements in a transaction that is rolled back, and returns what the check then fails. */
async function failuresAfter(statements: string, full = false): Promise<string[]> {
  const client = new pg.Client({ connectionString: database.adminUrl });
  await client.connect();
  try {
    await client.query('begin');
    await client.query(statements);
    const { rows } = await client.query<{ name: string }>('select name from verify_ledger($1) where not ok', [full]);
    return rows.map(({ name }) => name);
  } finally {
    await client.end();
  }
}
const month = (monthsBack: number, column: string) =>
  `${column} >= '${toLabel(monthsBack)}-01' and ${column} < '${toLabel(monthsBack - 1)}-01'`;

t.before(async () => {
  for (const monthsBack of [3, 2]) {
    const at = toMiddle(monthsBack).toISOString();
    await recordUses(database, { subject: device.id, device: device.id, count: 3, cost: 2, source: 'device', at });
    await recordUses(database, { subject: user.id, user: user.id, count: 2, at });
    await recordUses(database, { subject: user.id, user: user.id, count: 1, source: 'tracker', at });
    await database.sql(
      `with hold as (
         insert into reservations (subject_id, amount, status, model, prompt_count, expires_at, created_at, closed_at)
         values ($1, 30, 'settled', 'm', 1, $2, $2, $2) returning *
       ), generation as (
         insert into generations (id, subject_id, source, model, input_estimate, provenance, input_tokens, output_tokens)
         select id, subject_id, 'chat', 'm', 10, 'estimated', 10, 20 from hold
       ), event as (
         select private.record_usage_events(array[row(
           id, subject_id, subject_id, null, 'chat', 'unknown', 'm', 1, 10, 20, 30, 30, 'estimated', 1, null, $2, $2, null
         )::usage_events]) from hold
       )
       update balances set used = used + 30 from event where subject_id = $1`,
      [user.id, at],
    );
  }
  await database.sql(`insert into tracker_counters (user_id, prompts, tokens) values ($1, 2, 60)`, [user.id]);
});

t.test('months that are over are sealed once they are proved, one at a time', async (t) => {
  await server.verifyLedger(t);
  const done = await sealAll();
  t.match(done, [
    { month: toLabel(3), sealed: true },
    { month: toLabel(2), sealed: true },
  ]);
  t.match((await admin.as('GET', '/api/admin/ledger/months')).json(), {
    months: [
      { month: toLabel(3), sealed: true, events: 7, rollups: 4, fault: null },
      { month: toLabel(2), sealed: true, events: 7, rollups: 4, fault: null },
    ],
  });
  await server.verifyLedger(t);
  t.strictSame(await failuresAfter('', true), []);
});

t.test('whatever is changed in a sealed month is found', async (t) => {
  const ROLLUPS = 'rollups = sums of events';
  const TOTALS = 'totals = sums of rollups';
  const SPENT = 'used + debt = sum of event costs in the period';
  const TRACKED = 'tracker counters = sums of tracker rollups';
  const GENERATIONS = 'generations = their events and corrections';
  const faults: Record<string, readonly [statement: string, ...found: string[]]> = {
    'an event that costs more': [
      `update usage_events set cost = cost + 1 where source = 'device' and ${month(2, 'occurred_at')}`,
      ...[SPENT, ROLLUPS, SEALED],
    ],
    'an event with more tokens': [
      `update usage_events set input_tokens = 11 where source = 'extension' and ${month(2, 'occurred_at')}`,
      ...[ROLLUPS, SEALED],
    ],
    'an event of another provenance': [
      `update usage_events set provenance = 'estimated' where source = 'device' and ${month(3, 'occurred_at')}`,
      SEALED,
    ],
    'an event that is gone': [
      `delete from usage_events where source = 'device' and ${month(3, 'occurred_at')}`,
      ...[SPENT, ROLLUPS, SEALED],
    ],
    'an observed event that is gone': [
      `delete from usage_events where source = 'extension' and ${month(3, 'occurred_at')}`,
      ROLLUPS,
    ],
    'an event that was not there': [
      `insert into usage_events (subject_id, source, model, provenance, period, occurred_at)
       values (gen_random_uuid(), 'device', 'm', 'client_reported', 1, '${toMiddle(2).toISOString()}')`,
      ROLLUPS,
    ],
    'events moved into another month': [
      `update usage_events set occurred_at = occurred_at + interval '1 month' where source = 'device' and ${month(3, 'occurred_at')}`,
      ...[ROLLUPS, SEALED],
    ],
    'a rollup that says more': [
      `update usage_rollups set nano_usd = nano_usd + 1 where source = 'device' and ${month(2, 'bucket')}`,
      ...[ROLLUPS, TOTALS],
    ],
    'a rollup that is gone': [
      `delete from usage_rollups where source = 'tracker' and ${month(2, 'bucket')}`,
      ...[ROLLUPS, TOTALS, TRACKED],
    ],
    'a rollup moved to now': [
      `update usage_rollups set bucket = date_bin('15 minutes', now(), 'epoch') where source = 'device' and ${month(2, 'bucket')}`,
      ...[ROLLUPS, TOTALS],
    ],
    'a total that says more': [`update usage_totals set events = events + 1 where ${month(3, 'bucket')}`, TOTALS],
    'a total of a quarter hour without use': [
      `insert into usage_totals values ('${toLabel(3)}-02', 0, 1, 0, 0, 0, 0, 0, 0)`,
      TOTALS,
    ],
    'a generation that came to more': [
      `update generations set output_tokens = 21 where id in (select id from reservations where ${month(2, 'closed_at')})`,
      GENERATIONS,
    ],
    'a correction nobody made': [
      `insert into ledger_entries (subject_id, kind, amount, period, actor, reference)
       select subject_id, 'correction', 5, 1, 'x', 'generation:' || id from reservations where ${month(2, 'closed_at')};
       update balances set allocated = allocated + 5 where subject_kind = 'user';
       update budgets set allocated = allocated + 5 where subject_kind = 'user'`,
      GENERATIONS,
    ],
    'all rollups': ['truncate usage_rollups', ...[ROLLUPS, TOTALS, TRACKED]],
    'all events of a month': [
      `truncate private.usage_events_${toLabel(3).replace('-', '_')}`,
      ...[SPENT, ROLLUPS, GENERATIONS],
    ],
    'a seal written anew': [
      `update private.sealed_events set cost = cost - 1, events = events - 1`,
      ...[SPENT, SEALED],
    ],
    'what a balance used': [`update balances set used = used + 1 where subject_kind = 'device'`, SPENT],
    'a counter': ['update tracker_counters set tokens = tokens + 1', TRACKED],
  };
  for (const [title, [statement, ...found]] of Object.entries(faults)) {
    t.strictSame(await failuresAfter(statement), found, title);
  }
  await server.verifyLedger(t);
});

t.test('what went past the triggers is found by reading sealed months again, and stays known', async (t) => {
  const unseen = (statement: string) =>
    `set local session_replication_role = replica; ${statement}; set local session_replication_role = origin`;
  const byPassing = unseen(
    `update usage_events set url = 'https://example.com' where source = 'device' and ${month(3, 'occurred_at')}`,
  );
  t.strictSame(await failuresAfter(byPassing), [], 'not at once');
  t.strictSame(await failuresAfter(byPassing, true), [SEALED]);
  t.strictSame(
    await failuresAfter(unseen(`delete from usage_rollups where source = 'extension' and ${month(3, 'bucket')}`), true),
    ['rollups = sums of events', 'totals = sums of rollups', SEALED],
  );
  t.strictSame(
    await failuresAfter(
      `alter table usage_rollups disable trigger all; update usage_rollups set cost = cost + 1 where ${month(3, 'bucket')}`,
    ),
    ['rollups = sums of events', 'totals = sums of rollups'],
    'seals are not trusted while nobody watches',
  );

  const url = `/api/admin/ledger/months/${toLabel(3)}/verify`;
  t.match((await admin.as('POST', url)).json(), { month: toLabel(3), ok: true, discrepancies: [] });
  const client = new pg.Client({ connectionString: database.adminUrl });
  await client.connect();
  await client.query(`begin; ${byPassing}; commit`);
  t.match((await admin.as('POST', url)).json(), { ok: false, discrepancies: [{ subject: device.id }] });
  t.strictSame(await failuresAfter(''), [SEALED], 'what was found once is not forgotten');
  t.equal(await isSealed(3), false);
  t.strictSame(await sealAll(), [], 'a broken seal is not written anew by itself');
  await client.query(`begin; ${unseen(`update usage_events set url = null where source = 'device'`)}; commit`);
  await client.query(`update private.sealed_months set fault = null where fault is not null`);
  await client.end();
  t.match((await admin.as('POST', url)).json(), { ok: true });
  const missing = await admin.as('POST', `/api/admin/ledger/months/${toLabel(0)}/verify`);
  t.equal(missing.statusCode, 404);
  t.match(missing.json(), { code: 'MONTH_NOT_SEALED' });
  await server.verifyLedger(t);
});

t.test('what comes late, is corrected or is deleted keeps the seals right', async (t) => {
  const other = await registerUser(server);
  const late = [2, 3].map((monthsBack) => createUsage({ timestamp: toMiddle(monthsBack).getTime() + 60_000 }));
  const [id = ''] = await recordAll(t, other, late);
  t.equal(await isSealed(2), true, 'only what came late is proved again');
  await server.verifyLedger(t);
  t.match(await keepSeals(), { renewed: 2 });
  await server.verifyLedger(t);
  t.strictSame(await failuresAfter('', true), [], 'the seal has it now');

  t.equal((await other.as('DELETE', `/api/usage/${id}`)).statusCode, 200);
  await database.sql('select private.change_event_money(g, g.provenance, 7) from generations g');
  await database.sql(`select correct_generation(id, 10, 15) from generations`);
  t.equal((await user.as('PUT', '/api/users/me/tracker', { prompts: 0, tokens: 0 })).statusCode, 200);
  await server.verifyLedger(t);
  t.match(await sealAll(), [{ renewed: 3 }]);
  await server.verifyLedger(t);
  t.strictSame(await failuresAfter('', true), []);
  t.strictSame(await database.sql('select from private.changed_usage'), [], 'nothing is left to be proved again');
});

t.test('a month is not sealed while somebody writes to it, and nothing is lost that comes while it is', async (t) => {
  const at = toMiddle(4).getTime();
  await recordAll(t, user, [createUsage({ timestamp: at })]);
  const [writer, sealer] = await Promise.all(
    [1, 2].map(async () => {
      const client = new pg.Client({ connectionString: database.adminUrl });
      await client.connect();
      return client;
    }),
  );
  if (writer === undefined || sealer === undefined) throw new Error('no connection');
  const write = (model: string) =>
    writer.query(
      `select private.record_usage_events(array[row(
         gen_random_uuid(), $1::uuid, $1::uuid, null, 'extension', 'unknown', $2::text, 1, 1, 1, 2, 0, 'client_reported', 1, null,
         to_timestamp($3), now(), null)::usage_events])`,
      [user.id, model, at / 1_000],
    );
  await writer.query('begin');
  await write('first');
  t.match(await keepSeals(), { month: toLabel(4), sealed: false });
  await writer.query('commit');

  await sealer.query('begin');
  await sealer.query(`select private.seal_month('${toLabel(4)}-01')`);
  await write('second');
  await sealer.query('commit');
  await Promise.all([writer.end(), sealer.end()]);
  t.equal(await isSealed(4), true);
  await server.verifyLedger(t);
  t.match(await sealAll(), [{ renewed: 1 }]);
  t.strictSame(await failuresAfter('', true), []);
});

t.test('a month that does not add up is not sealed, and is told of until it does', async (t) => {
  await recordAll(t, user, [createUsage({ timestamp: toMiddle(5).getTime() })]);
  await database.sql(`update usage_rollups set events = events + 1 where ${month(5, 'bucket')}`);
  await database.sql(`update usage_totals set events = events + 1 where ${month(5, 'bucket')}`);
  t.match(await sealAll(), [{ month: toLabel(5), sealed: true }]);
  t.equal(await isSealed(5), false);
  t.strictSame(await failuresAfter(''), ['rollups = sums of events']);
  await database.sql(`update usage_rollups set events = events - 1 where ${month(5, 'bucket')}`);
  await database.sql(`update usage_totals set events = events - 1 where ${month(5, 'bucket')}`);
  await server.verifyLedger(t);
  await database.sql(`update private.sealed_months set proved_at = now() - interval '2 days' where sealed_at is null`);
  await sealAll();
  t.equal(await isSealed(5), true);
});

t.test('a month whose events retention drops stays sealed as one of rollups', async (t) => {
  const drop = { p_retention_months: 3 };
  t.match(await server.backend.database.call('drop_expired_month', drop, AnyResult), {
    month: toLabel(5),
    dropped: true,
  });
  t.match(await server.backend.database.call('drop_expired_month', drop, AnyResult), {
    month: toLabel(4),
    dropped: true,
  });
  t.equal(await isSealed(5), true);
  await server.verifyLedger(t);
  t.strictSame(await failuresAfter('', true), []);
  t.strictSame(await failuresAfter(`update usage_rollups set cost = cost + 1 where ${month(5, 'bucket')}`), [
    'totals = sums of rollups',
  ]);
  const counted = await user.as('POST', '/api/usage', createUsage({ timestamp: toMiddle(5).getTime() }));
  t.match(counted.json(), { summary_only: true });
  await server.verifyLedger(t);
  await sealAll();
  t.strictSame(await failuresAfter('', true), []);
});

t.end();
