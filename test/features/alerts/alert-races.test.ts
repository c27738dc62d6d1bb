import { randomUUID } from 'node:crypto';
import { logInAsAdmin } from '../../helpers/admin.js';
import { type ChatServer, openChatServer, QUESTION, userWith } from '../../helpers/chat.js';
import { balanceLock, meetAtLock, poolLock } from '../../helpers/db/meet-at-lock.js';
import { createDeferred } from '../../helpers/deferred.js';
import { DONE, startStream, textChunk, usageChunk } from '../../helpers/fakes/openrouter.js';
import type { TestDevice } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const environment = { JWT_SECRET: 'one secret of two servers, 32 bytes long' };
const server = await openChatServer(t, { environment });
const other = await openChatServer(t, { environment, database: server.database });
const { database } = server;
const admin = await logInAsAdmin(server);
await admin.as('POST', '/api/admin/webhooks', {
  url: 'https://receiver.example/hook',
  events: ['balance.threshold', 'balance.exhausted'],
});

interface Announced {
  readonly type: string;
  readonly threshold: number | null;
}
/** What was announced of a balance or pool, in order. */
const announced = async (subject: string) =>
  (
    await database.sql<Announced>(
      `select type, (data ->> 'threshold')::integer as threshold from private.webhook_deliveries
        where data ->> 'subject_id' = $1 or data ->> 'pool' = $1 order by id`,
      [subject],
    )
  ).map(({ type, threshold }) => threshold ?? type);

const use = (on: ChatServer, device: TestDevice, prompt_count: number) =>
  on.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5', prompt_count }, { 'idempotency-key': randomUUID() });
/** Debits a device on both servers, which meet at its balance. */
const useOnBoth = (device: TestDevice, prompt_count: number) =>
  meetAtLock(database, balanceLock(device.id, 2), () =>
    Promise.all([use(server, device, prompt_count), use(other, device, prompt_count)]),
  );

t.test('a device that two servers take over a threshold at once is announced once', async (t) => {
  const device = await server.registerDevice(100);
  await use(server, device, 79);
  await useOnBoth(device, 1);
  t.strictSame(await announced(device.id), [80]);
  await use(other, device, 17);
  await useOnBoth(device, 1);
  t.strictSame(await announced(device.id), [80, 100, 'balance.exhausted']);
  const refused = await useOnBoth(device, 1);
  t.strictSame(
    refused.map(({ statusCode }) => statusCode),
    [403, 403],
  );
  t.strictSame(await announced(device.id), [80, 100, 'balance.exhausted'], 'and its end is not told again');
  await server.verifyLedger(t);
});

t.test('in the next period it is announced once more, by the debits that bring it there', async (t) => {
  const device = await server.registerDevice(100);
  await use(server, device, 100);
  await admin.as('POST', '/api/admin/reset-monthly', { default_tokens: 10, force: true });
  await useOnBoth(device, 5);
  t.strictSame((await announced(device.id)).slice(3), [80, 100, 'balance.exhausted']);
  await server.verifyLedger(t);
});

t.test('a hold announces nothing, and what it was settled with announces once', async (t) => {
  const device = await server.registerDevice(10);
  const hold = () =>
    server.as(device, 'POST', '/api/devices/check-can-use', { model_type: 'gpt-5', prompt_count: 8, reserve: true });
  const held = await hold();
  t.strictSame(await announced(device.id), []);
  const reservation_id = held.json<{ reservation_id: string }>().reservation_id;
  const settle = (on: ChatServer) =>
    on.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5', prompt_count: 8, reservation_id });
  await meetAtLock(database, balanceLock(device.id, 2), () => Promise.all([settle(server), settle(other)]));
  t.strictSame((await announced(device.id))[0], 80);
  t.equal((await announced(device.id)).filter((what) => what === 80).length, 1);
  await server.verifyLedger(t);
});

t.test('a person whose chats end at once on two servers is announced once', async (t) => {
  const user = await userWith(server, 90);
  const released = createDeferred();
  for (const { upstream } of [server, other]) {
    upstream.answer(async (response) => {
      startStream(response);
      response.write(textChunk('Hello'));
      await released.promise;
      response.end(usageChunk(12, 28) + DONE);
    });
  }
  const ask = (on: ChatServer) =>
    on.as(user, 'POST', '/api/chat/stream', { ...QUESTION, max_tokens: 30 }).then(({ statusCode }) => statusCode);
  const answers = Promise.all([ask(server), ask(other)]);
  await untilTrue(async () => {
    const [row] = await database.sql<{ held: number }>(
      `select count(*)::integer as held from reservations where status = 'held' and subject_id = $1`,
      [user.id],
    );
    return row?.held === 2;
  });
  t.strictSame(await announced(user.id), [], 'what is held is not used');
  await meetAtLock(database, balanceLock(user.id, 2), () => {
    released.resolve();
    return answers;
  });
  t.strictSame(await answers, [200, 200]);
  t.strictSame(await announced(user.id), [80]);
  const refused = () => Promise.all([ask(server), ask(other)]);
  t.strictSame(await meetAtLock(database, balanceLock(user.id, 2), refused), [403, 403]);
  t.strictSame(await announced(user.id), [80, 'balance.exhausted'], 'less is left than a question costs');
  await server.verifyLedger(t);
});

t.test('a pool that two grants take over a threshold at once is announced once', async (t) => {
  const device = await server.registerDevice();
  const [pool] = await database.sql<{ allocated: string }>(
    "select allocated from budgets where subject_kind = 'device'",
  );
  const total = Number(pool?.allocated) * 10;
  await admin.as('PUT', '/api/admin/budget', { total });
  const tokens = Math.ceil(total * 0.4);
  const grant = (on: ChatServer) =>
    on.as({ id: 'admin', token: admin.token }, 'POST', '/api/admin/allocate', { device_id: device.id, tokens });
  await meetAtLock(database, poolLock('device', 2), () => Promise.all([grant(server), grant(other)]));
  t.strictSame(await announced('device'), [80]);
  await server.verifyLedger(t);
});

t.end();
