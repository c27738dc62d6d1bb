import { randomUUID } from 'node:crypto';
import { registerUser, type TestUser } from '../../helpers/accounts.js';
import { logInAsAdmin, type TestAdmin } from '../../helpers/admin.js';
import { insertionLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { createUsage, linkDevice, readId, recordAll, storeUsage } from '../../helpers/observed-usage.js';
import t from '../../helpers/run/tap.js';
import type { Summary } from '../../helpers/summaries.js';
import { until } from '../../helpers/until.js';

const server = await openTestServer(t);
const admin = await logInAsAdmin(server);
const { sql } = server.database;
/** Names of one subject and day that summaries tell apart. */
const NAMES = 100;
/** Noon of a day, so that all that is recorded around it is of one day everywhere. */
const noon = (daysBack: number) => Math.floor(Date.now() / 86_400_000 - daysBack) * 86_400_000 + 43_200_000;

const uses = (count: number, at: number, prefix = 'model') =>
  Array.from({ length: count }, (_, n) => createUsage({ model: `${prefix}-${n}`, timestamp: at + n }));

async function summarize(who: TestUser | TestAdmin, path: string, query: string): Promise<Summary> {
  // On a busy machine the longest of them may be told to come back.
  return until('the summary is there', async () => {
    const response = await who.as('GET', `/api/${path}?${query}`);
    if (response.statusCode === 503) return undefined;
    if (response.statusCode !== 200) throw new Error(`the summary was refused: ${response.payload.slice(0, 200)}`);
    return response.json<Summary>();
  });
}

t.test('10,000 models of one account fail nobody, and become one group beyond the first hundred a day', async (t) => {
  const user = await registerUser(server);
  await recordAll(t, user, uses(10_000, noon(1)));
  for (const summary of [
    await summarize(admin, 'admin/usage/summary', 'group_by=model'),
    await summarize(user, 'usage/summary', 'group_by=model,provider'),
  ]) {
    t.equal(summary.totals.events, 10_000);
    t.equal(summary.series.length, NAMES + 1);
    t.equal(summary.series.find(({ model }) => model === 'other')?.events, 10_000 - NAMES);
    t.ok(
      summary.series.some(({ model }) => model === 'model-0'),
      'the first to come keep their names',
    );
  }
  const list = await user.as('GET', '/api/usage?model=model-9999');
  t.match(list.json(), { usage: [{ model: 'model-9999' }] }, 'the event keeps its own');
  await server.verifyLedger(t);
});

t.test('another day, and another account, has a hundred names of its own', async (t) => {
  const [user, other] = [await registerUser(server), await registerUser(server)];
  await recordAll(t, user, [...uses(NAMES + 5, noon(2), 'a'), ...uses(NAMES, noon(3), 'b')]);
  await recordAll(t, other, uses(NAMES, noon(2), 'c'));
  const models = async (who: TestUser) =>
    (await summarize(who, 'usage/summary', 'group_by=model')).series.map(({ model }) => String(model));
  const mine = await models(user);
  t.equal(mine.length, 2 * NAMES + 1);
  t.ok(mine.includes('other'));
  t.notOk((await models(other)).includes('other'));
  await server.verifyLedger(t);
});

t.test('an event without a name of its own is taken out of the group it was counted in', async (t) => {
  const user = await registerUser(server);
  const at = noon(4);
  await recordAll(t, user, uses(NAMES, at));
  const late = [
    readId(await user.as('POST', '/api/usage', createUsage({ model: 'late', timestamp: at + 500 }))),
    readId(await user.as('POST', '/api/usage', createUsage({ model: 'later', timestamp: at + 501 }))),
  ];
  const named = readId(await user.as('POST', '/api/usage', createUsage({ model: 'model-7', timestamp: at + 502 })));
  for (const id of [late[0], named]) t.equal((await user.as('DELETE', `/api/usage/${id}`)).statusCode, 200);
  const { series, totals } = await summarize(user, 'usage/summary', 'group_by=model');
  t.equal(totals.events, NAMES + 1);
  t.equal(series.find(({ model }) => model === 'other')?.events, 1);
  await server.verifyLedger(t);
});

t.test('requests that bring new names at once admit a hundred together, and the books hold', async (t) => {
  const user = await registerUser(server);
  const at = noon(5);
  await recordAll(t, user, uses(NAMES - 10, at));
  await meetAtLock(server.database, insertionLock('private.rollup_names', 3), () =>
    Promise.all(
      Array.from({ length: 6 }, (_, n) =>
        user.as('POST', '/api/usage', { events: uses(20, at + 1_000 * (n + 1), `rival-${n}`) }),
      ),
    ),
  );
  const { series } = await summarize(user, 'usage/summary', 'group_by=model');
  t.equal(series.length, NAMES + 1);
  t.equal(series.find(({ model }) => model === 'other')?.events, 120 - 10);
  await server.verifyLedger(t);
});

t.test('a device cannot do it either, and the dashboard lists the models it used most', async (t) => {
  const device = await server.registerDevice(1_000);
  await linkDevice(server, device.id, (await registerUser(server)).id);
  await Promise.all(
    Array.from({ length: NAMES + 20 }, (_, n) =>
      server.as(device, 'POST', '/api/usage/log', { model_type: `model-${n}`, prompt_count: n === 0 ? 3 : 1 }),
    ),
  );
  const [row] = await sql<{ names: number; events: number }>(
    `select count(distinct model)::integer as names, sum(events)::integer as events from usage_rollups where subject_id = $1`,
    [device.id],
  );
  t.strictSame(row, { names: NAMES + 1, events: NAMES + 20 });
  const dashboard = await admin.as('GET', `/api/admin/dashboard?q=${device.id}`);
  const [listed] = dashboard.json<{ devices: { list: { usage_this_month: { model: string; prompts: number }[] }[] } }>()
    .devices.list;
  t.equal(listed?.usage_this_month.length, 21);
  t.equal(listed?.usage_this_month.at(-1)?.model, 'other');
  t.equal(
    listed?.usage_this_month.reduce((sum, { prompts }) => sum + prompts, 0),
    NAMES + 22,
  );
  await server.verifyLedger(t);
});

t.test('a summary that would be too long lists what was used most, and the rest as one row that says so', async (t) => {
  const crowd = Array.from({ length: 110 }, () => randomUUID());
  for (const [n, subject] of crowd.entries()) {
    await storeUsage(
      server,
      Array.from({ length: NAMES }, (_, m) => ({
        at: noon(6) + m,
        subject,
        source: 'extension',
        provider: 'crowd',
        model: `${n}-${m}`,
      })),
    );
  }
  await storeUsage(
    server,
    Array.from({ length: 50 }, (_, m) => ({
      at: noon(6) + m,
      subject: crowd[0] ?? '',
      source: 'extension',
      provider: 'crowd',
      model: '0-0',
    })),
  );
  const day = new Date(noon(6)).toISOString().slice(0, 10);
  for (const [from, rows] of [
    [day, 10_000],
    [new Date(noon(105)).toISOString().slice(0, 10), 10_000],
  ] as const) {
    const summary = await summarize(admin, 'admin/usage/summary', `group_by=day,model,device&from=${from}&to=${day}`);
    t.equal(summary.series.length, rows);
    t.equal(
      summary.series.reduce((sum, { events }) => sum + events, 0),
      summary.totals.events,
      'nothing is left out',
    );
    const rest = summary.series.filter(({ other }) => other === true);
    t.equal(rest.length, from === day ? 1 : 100, 'one row a day');
    t.match(rest[0], { model: 'other', device: null });
    t.ok(summary.series.some(({ model, events }) => model === '0-0' && events === 51));
  }

  for (const groups of ['model', 'device', 'day,user', 'month,model,device']) {
    const query = `group_by=${groups}&from=${new Date(noon(12)).toISOString().slice(0, 10)}&to=${day}`;
    const all = await summarize(admin, 'admin/usage/summary', query);
    const top = await summarize(admin, 'admin/usage/summary', `${query}&top=3`);
    t.strictSame(top.totals, all.totals, groups);
    const names = groups.split(',').filter((group) => group !== 'day' && group !== 'month');
    const listed = new Map(top.series.map((row) => [JSON.stringify(names.map((name) => Reflect.get(row, name))), row]));
    t.equal(listed.size, Math.min(3, all.series.length), groups);
    const rows = new Set(all.series.map((row) => JSON.stringify(row)));
    for (const row of top.series.filter(({ other }) => other !== true)) t.ok(rows.has(JSON.stringify(row)), groups);
    t.equal(
      top.series.reduce((sum, { events }) => sum + events, 0),
      all.totals.events,
      'nothing is left out',
    );
  }
  await server.verifyLedger(t);
});

t.end();
