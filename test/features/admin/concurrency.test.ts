import { logInAsAdmin, type TestAdmin } from '../../helpers/admin.js';
import { balanceLock, meetAtLock, poolLock } from '../../helpers/db/meet-at-lock.js';
import { openTestServer, type TestDevice, type TestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

/** Sessions that wait for the lock before it is released: enough that they meet, few enough to be there soon. */
const MANY = 3;

const times = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n));

function pick<T>(items: readonly T[]): T {
  const item = items[Math.floor(Math.random() * items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}

let server: TestServer;
let admin: TestAdmin;
t.before(async () => {
  server = await openTestServer(t);
  admin = await logInAsAdmin(server);
});

async function allocatedTotal(): Promise<string | undefined> {
  const [row] = await server.database.sql<{ total: string }>(
    `select sum(allocated) as total from balances where subject_kind = 'device'`,
  );
  return row?.total;
}

t.test('crossed transfers between 20 devices by 50 clients at once keep the total and never deadlock', async (t) => {
  const devices = await Promise.all(times(20, () => server.registerDevice()));
  const before = await allocatedTotal();
  const statuses: number[] = [];
  const lock = { statement: `select from balances where subject_kind = 'device' for update`, waiting: MANY };
  await meetAtLock(server.database, lock, () =>
    Promise.all(
      times(50, async () => {
        for (let n = 0; n < 8; n += 1) {
          const from = pick(devices);
          const to = pick(devices.filter((device) => device !== from));
          const body = { device_id: to.id, from_device_id: from.id, tokens: 1 + Math.floor(Math.random() * 30) };
          statuses.push((await admin.as('POST', '/api/admin/allocate', body)).statusCode);
        }
      }),
    ),
  );
  t.strictSame(
    statuses.filter((status) => status !== 200 && status !== 403),
    [],
    'every transfer happened or was refused for lack of tokens',
  );
  t.ok(statuses.includes(200));
  t.equal(await allocatedTotal(), before, 'the total is what it was');
  await server.verifyLedger(t);
});

/** Debits the devices without pause until stopped; returns the statuses seen. */
function debitWithoutPause(devices: readonly TestDevice[], clients: number) {
  let stopped = false;
  const statuses: number[] = [];
  const done = Promise.all(
    times(clients, async () => {
      while (!stopped) {
        statuses.push((await server.as(pick(devices), 'POST', '/api/usage/log', { model_type: 'gpt-5' })).statusCode);
      }
    }),
  );
  const stop = async () => {
    stopped = true;
    await done;
    return statuses;
  };
  return { statuses, stop };
}

t.test('20 resets at once under full debit load are one reset', async (t) => {
  const devices = await Promise.all(times(10, () => server.registerDevice(100_000)));
  const load = debitWithoutPause(devices, 20);
  const resets = await meetAtLock(server.database, poolLock('device', MANY), () =>
    Promise.all(times(20, () => admin.as('POST', '/api/admin/reset-monthly', { default_tokens: 500 }))),
  );
  const statuses = await load.stop();
  t.equal(resets.filter(({ statusCode }) => statusCode === 200).length, 1);
  t.equal(resets.filter(({ statusCode }) => statusCode === 409).length, 19);
  t.match(resets.find(({ statusCode }) => statusCode === 409)?.json(), { code: 'ALREADY_RESET' });
  t.strictSame(
    statuses.filter((status) => status !== 200 && status !== 403),
    [],
    'no debit failed for another reason than lack of tokens',
  );
  const epochs = await server.database.sql('select number from periods');
  t.equal(epochs.length, 2, 'one period was closed and one opened');
  await server.verifyLedger(t);

  const again = await admin.as('POST', '/api/admin/reset-monthly', { default_tokens: 70, force: true });
  t.match(again.json(), { period: 3, default_tokens: 70 }, 'force resets once more');
  await server.verifyLedger(t);
});

t.test('no debit commits after a block has committed, not even one that waits in a batch', async (t) => {
  const device = await server.registerDevice(100_000);
  const debits: ReturnType<TestServer['as']>[] = [];
  const block = await meetAtLock(server.database, balanceLock(device.id, 2), () => {
    debits.push(...times(500, () => server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' })));
    return admin.as('POST', '/api/admin/block-device', { device_id: device.id, blocked: true });
  });
  t.match(block.json(), { device_id: device.id, blocked: true });
  const [atBlock] = await server.database.sql<{ used: string }>('select used from balances where subject_id = $1', [
    device.id,
  ]);
  const statuses = (await Promise.all(debits)).map(({ statusCode }) => statusCode);
  const succeeded = statuses.filter((status) => status === 200).length;
  t.equal(String(succeeded), atBlock?.used, 'what succeeded had been debited when the block was answered');
  t.equal(statuses.filter((status) => status === 403).length, 500 - succeeded);
  const after = await server.as(device, 'GET', `/api/devices/${device.id}/tokens`);
  t.match(after.json(), { code: 'DEVICE_BLOCKED' });
  await server.verifyLedger(t);

  await admin.as('POST', '/api/admin/block-device', { device_id: device.id, blocked: false });
  t.equal((await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' })).statusCode, 200);
});

t.test('one idempotency key on 30 allocations at once adds its tokens once', async (t) => {
  const device = await server.registerDevice(0);
  const responses = await meetAtLock(server.database, balanceLock(device.id, MANY), () =>
    Promise.all(
      times(30, () =>
        admin.as('POST', '/api/admin/allocate', { device_id: device.id, tokens: 5 }, { 'idempotency-key': 'once' }),
      ),
    ),
  );
  t.equal(new Set(responses.map(({ payload }) => payload)).size, 1);
  t.match(responses[0]?.json(), { allocated: 5 });
  const other = await admin.as(
    'POST',
    '/api/admin/allocate',
    { device_id: device.id, tokens: 6 },
    { 'idempotency-key': 'once' },
  );
  t.match(other.json(), { code: 'IDEMPOTENCY_MISMATCH' });
  t.equal(other.statusCode, 422);
  await server.verifyLedger(t);
});

t.test('a pool is never overdrawn by allocations and registrations at once', async (t) => {
  const budget = await admin.as('GET', '/api/admin/budget');
  const { allocated } = budget.json<{ allocated: number }>();
  await admin.as('PUT', '/api/admin/budget', { total: allocated + 120 });
  const target = await server.registerDevice();
  const outcomes = await meetAtLock(server.database, poolLock('device', MANY), () =>
    Promise.all([
      ...times(20, () => admin.as('POST', '/api/admin/allocate', { device_id: target.id, tokens: 10 })),
      ...times(5, () => server.registerDevice()),
    ]),
  );
  const refused = outcomes.find((outcome) => 'statusCode' in outcome && outcome.statusCode === 403);
  t.match(refused && 'json' in refused ? refused.json() : {}, { code: 'BUDGET_EXCEEDED', requested: 10 });
  const after = await admin.as('GET', '/api/admin/budget');
  t.match(after.json(), { total: allocated + 120, allocated: allocated + 120, unallocated: 0 });
  const late = await server.registerDevice();
  const balance = await server.as(late, 'GET', `/api/devices/${late.id}/tokens`);
  t.match(
    balance.json(),
    { allocated: 0, can_use_tokens: false },
    'an empty pool gives a new device nothing, not an error',
  );
  await admin.as('PUT', '/api/admin/budget', { total: null });
  await server.verifyLedger(t);
});
