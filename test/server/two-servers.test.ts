import { randomUUID } from 'node:crypto';
import { balanceLock, insertionLock, meetAtLock } from '../helpers/db/meet-at-lock.js';
import { openTestDatabase } from '../helpers/db/test-database.js';
import { type Answer, assertLedger, type Device, logUse, register, send } from '../helpers/http/server-load.js';
import { openDirectory, startServer } from '../helpers/http/server-process.js';
import { testEnvironment } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';

const toStatuses = (answers: readonly (Answer | undefined)[]) => answers.map((answer) => answer?.status);
const count = (answers: readonly (Answer | undefined)[], status: number) =>
  toStatuses(answers).filter((found) => found === status).length;

t.test('two servers on one database', async (t) => {
  const { path: cwd } = await openDirectory(t);
  const database = await openTestDatabase(t);
  const environment = testEnvironment(database);
  const servers = [1, 2].map(() => startServer(t, { cwd, environment }));
  const urls = await Promise.all(servers.map((server) => server.ready()));
  const toUrl = (n: number) => urls[n % urls.length] ?? '';
  const spendInParallel = (device: Device, model: string) =>
    meetAtLock(database, balanceLock(device.id, 2), () =>
      Promise.all(Array.from({ length: 200 }, (_, n) => logUse(toUrl(n), device, undefined, model))),
    );

  t.test('200 parallel uses over two servers of a device with 50 tokens succeed exactly 50 times', async (t) => {
    const answers = await spendInParallel(await register(toUrl(0)), 'gpt-5');
    t.equal(count(answers, 200), 50);
    t.equal(count(answers, 403), 150);
    await assertLedger(t, database.sql);
  });

  t.test('a model that costs 3 fits 16 times into 50 tokens, over two servers, too', async (t) => {
    const answers = await spendInParallel(await register(toUrl(1)), 'claude-opus-4.5');
    t.equal(count(answers, 200), 16);
    t.equal(count(answers, 403), 184);
    await assertLedger(t, database.sql);
  });

  t.test('one idempotency key through both servers at once is one event', async (t) => {
    const device = await register(toUrl(0));
    const key = randomUUID();
    const answers = await meetAtLock(database, balanceLock(device.id, 2), () =>
      Promise.all(Array.from({ length: 40 }, (_, n) => logUse(toUrl(n), device, key))),
    );
    t.equal(count(answers, 200), 40);
    t.equal(new Set(answers.map((answer) => JSON.stringify(answer?.body))).size, 1, 'all answers are equal');
    const events = await database.sql('select from public.usage_events where subject_id = $1', [device.id]);
    t.equal(events.length, 1);
    await assertLedger(t, database.sql);
  });

  t.test('one fingerprint registered through both servers at once is one device', async (t) => {
    const fingerprint = randomUUID();
    const body = { device_name: 'Test', hardware_fingerprint: fingerprint };
    const answers = await meetAtLock(database, insertionLock('devices', 3), () =>
      Promise.all(Array.from({ length: 20 }, (_, n) => send(toUrl(n), '/api/devices/register', { body }))),
    );
    t.equal(count(answers, 201), 1);
    t.equal(count(answers, 200), 19);
    t.equal(new Set(answers.map((answer) => answer?.body['device_id'])).size, 1);
    await assertLedger(t, database.sql);
  });

  t.test('100 callers over 30 devices and two servers in random order never deadlock', async (t) => {
    const devices = await Promise.all(Array.from({ length: 30 }, (_, n) => register(toUrl(n))));
    const random = (below: number) => Math.floor(Math.random() * below);
    const call = async (): Promise<(Answer | undefined)[]> => {
      const answers: (Answer | undefined)[] = [];
      for (let n = 0; n < 15; n += 1) {
        const device = devices[random(devices.length)] ?? { id: '', token: '' };
        const model_type = random(3) === 0 ? 'claude-opus-4.5' : 'gpt-5';
        const check = { path: '/api/devices/check-can-use', body: { model_type, reserve: true } };
        const use = { path: '/api/usage/log', body: { model_type } };
        const { path, body } = random(4) === 0 ? check : use;
        answers.push(await send(toUrl(random(2)), path, { body, token: device.token }));
      }
      return answers;
    };
    const lock = { statement: `select from balances where subject_kind = 'device' for update`, waiting: 2 };
    const callers = await meetAtLock(database, lock, () => Promise.all(Array.from({ length: 100 }, call)));
    const answers = callers.flat();
    t.equal(answers.length, 1_500);
    t.strictSame(
      toStatuses(answers).filter((status) => status !== 200 && status !== 403),
      [],
      'nothing but successes and refusals',
    );
    t.ok(count(answers, 200) > 0 && count(answers, 403) > 0, 'of both');
    const [row] = await database.sql<{ deadlocks: string }>(
      'select deadlocks from pg_stat_database where datname = current_database()',
    );
    t.equal(row?.deadlocks, '0');
    await assertLedger(t, database.sql);
  });
});
