import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { meetAtLock } from '../helpers/db/meet-at-lock.js';
import { openTestDatabase } from '../helpers/db/test-database.js';
import { openTestServer, type TestDevice } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';

const DEVICES = 30;
const CALLERS = 100;
const TOKENS = 40;

const database = await openTestDatabase(t);
const environment = { JWT_SECRET: randomBytes(32).toString('base64url') };
const server = await openTestServer(t, { database, environment });
const replica = await openTestServer(t, { database, environment });

function shuffled<Item>(items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, rank: Math.random() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}

/** Posts as an extension would: what a busy server had no time for is sent again when it says, under the same key. */
async function post(url: string, device: TestDevice, body: object) {
  const headers = {
    authorization: `Bearer ${device.token}`,
    'content-type': 'application/json',
    'idempotency-key': randomUUID(),
  };
  for (;;) {
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
    const answer: Record<string, unknown> = { ...Object(await response.json()) };
    const pause = response.headers.get('retry-after');
    if (response.status !== 503 || pause === null) return { status: response.status, answer };
    await delay(Number(pause) * 1_000);
  }
}

/** Holds or spends on every third device, in an order of its own. */
async function call(urls: readonly string[], devices: readonly TestDevice[], caller: number) {
  const statuses: number[] = [];
  for (const [step, device] of shuffled(devices).slice(0, 10).entries()) {
    const url = urls[(caller + step) % urls.length];
    const use = { model_type: step % 2 === 0 ? 'claude-opus-4.5' : 'gpt-5' };
    const held = await post(`${url}/api/devices/check-can-use`, device, { ...use, reserve: step % 3 === 0 });
    const { reservation_id } = held.answer;
    const used = await post(`${url}/api/usage/log`, device, { ...use, ...(reservation_id ? { reservation_id } : {}) });
    statuses.push(held.status, used.status);
  }
  return statuses;
}

t.test(
  '100 callers over 30 devices in random order, through two servers, are all answered and the books add up',
  async (t) => {
    const urls = [await server.listen(), await replica.listen()];
    const devices = await Promise.all(Array.from({ length: DEVICES }, () => server.registerDevice(TOKENS)));
    const lock = { statement: `select from balances where subject_kind = 'device' for update`, waiting: 2 };
    const callers = await meetAtLock(database, lock, () =>
      Promise.all(Array.from({ length: CALLERS }, (_, caller) => call(urls, devices, caller))),
    );
    const statuses = callers.flat();
    t.equal(statuses.length, CALLERS * 20, 'every call was answered');
    t.strictSame([...new Set(statuses)].sort(), [200, 403], 'with success or for want of tokens, never an error');

    const events = await database.sql<{ spent: string; overspent: string }>(
      `select sum(e.cost) as spent, count(*) filter (where b.used > b.allocated) as overspent
       from usage_events e join balances b using (subject_id)`,
    );
    t.match(events, [{ overspent: '0' }]);
    const deadlocks = 'select deadlocks from pg_stat_database where datname = current_database()';
    t.strictSame(await database.sql(deadlocks), [{ deadlocks: '0' }], 'nobody was sent again because of a deadlock');
    t.ok(Number(events[0]?.spent) > DEVICES * (TOKENS - 6), 'the balances were fought over');
    await server.verifyLedger(t);
  },
);

t.end();
