import { randomUUID } from 'node:crypto';
import { openTestServer, type TestDevice } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const OPUS = { model_type: 'claude-opus-4.5' };

function log(device: TestDevice, body: object, key?: string) {
  return server.as(device, 'POST', '/api/usage/log', body, key === undefined ? {} : { 'idempotency-key': key });
}

function reserve(device: TestDevice, body: object) {
  return server.as(device, 'POST', '/api/devices/check-can-use', { ...body, reserve: true });
}

async function readBalance(device: TestDevice) {
  const response = await server.as(device, 'GET', `/api/devices/${device.id}/tokens`);
  return response.json<{ used: number; reserved: number; remaining: number }>();
}

t.test('the header and event_id are the same key, on both usage routes', async (t) => {
  const device = await server.registerDevice(10);
  const key = randomUUID();
  const first = await log(device, OPUS, key);
  t.equal(first.statusCode, 200);
  const repeats = [
    await log(device, { ...OPUS, event_id: key }),
    await log(device, { ...OPUS, event_id: key }, key),
    await log(device, { model_type: ' CLAUDE-OPUS-4.5 ', prompt_count: 1 }, key),
    await server.as(device, 'POST', `/devices/${device.id}/usage`, { ...OPUS, event_id: key }),
  ];
  for (const repeat of repeats) {
    t.equal(repeat.statusCode, 200);
    t.equal(repeat.payload, first.payload, 'the original answer again');
  }
  t.match(await readBalance(device), { used: 3, remaining: 7 });
  await server.verifyLedger(t);
});

t.test('a header and an event_id that differ are refused with 400', async (t) => {
  const device = await server.registerDevice(10);
  const refused = await log(device, { ...OPUS, event_id: 'one' }, 'another');
  t.equal(refused.statusCode, 400);
  t.match(refused.json(), { code: 'VALIDATION_FAILED' });
  t.match(await readBalance(device), { used: 0 });
  await server.verifyLedger(t);
});

t.test('the same key with another request is refused with 422 and changes nothing', async (t) => {
  const device = await server.registerDevice(10);
  await log(device, OPUS, 'k');
  for (const body of [
    { ...OPUS, prompt_count: 2 },
    { model_type: 'gpt-5' },
    { ...OPUS, reservation_id: randomUUID() },
  ]) {
    const refused = await log(device, body, 'k');
    t.equal(refused.statusCode, 422);
    t.match(refused.json(), { code: 'IDEMPOTENCY_MISMATCH' });
  }
  t.match(await readBalance(device), { used: 3, remaining: 7 });
  await server.verifyLedger(t);
});

t.test('a refused use is not remembered: the same key succeeds once there are tokens', async (t) => {
  const device = await server.registerDevice(3);
  const held = await reserve(device, OPUS);
  const refused = await log(device, OPUS, 'later');
  t.equal(refused.statusCode, 403);
  await server.database.sql('update reservations set expires_at = now() where id = $1', [
    held.json<{ reservation_id: string }>().reservation_id,
  ]);
  const accepted = await log(device, OPUS, 'later');
  t.equal(accepted.statusCode, 200);
  t.match(accepted.json(), { tokens_used: 3, remaining: 0 });
  t.equal((await log(device, OPUS, 'later')).payload, accepted.payload, 'and is remembered from then on');
  await server.verifyLedger(t);
});

t.test('a key belongs to its device: another may use the same one for something else', async (t) => {
  const one = await server.registerDevice(10);
  const other = await server.registerDevice(10);
  const first = await log(one, OPUS, 'shared');
  const second = await log(other, { model_type: 'gpt-5' }, 'shared');
  t.match(first.json(), { tokens_used: 3 });
  t.match(second.json(), { tokens_used: 1, remaining: 9 });
  await server.verifyLedger(t);
});

t.test('one key for a hold and for a use is refused with 422, in either order', async (t) => {
  const device = await server.registerDevice(10);
  t.equal((await reserve(device, { ...OPUS, event_id: 'held' })).statusCode, 200);
  t.equal((await log(device, OPUS, 'held')).statusCode, 422);
  t.equal((await log(device, OPUS, 'used')).statusCode, 200);
  const refused = await reserve(device, { ...OPUS, event_id: 'used' });
  t.equal(refused.statusCode, 422);
  t.match(refused.json(), { code: 'IDEMPOTENCY_MISMATCH' });
  t.match(await readBalance(device), { used: 3, reserved: 3, remaining: 4 });
  await server.verifyLedger(t);
});

t.test('a hold asked for again with its key is the same hold, taken once, even in parallel', async (t) => {
  const device = await server.registerDevice(10);
  const body = { ...OPUS, event_id: randomUUID() };
  const answers = await Promise.all(Array.from({ length: 20 }, () => reserve(device, body)));
  t.match(answers[0]?.json(), { can_use: true, reservation_id: /^[0-9a-f-]{36}$/ });
  t.equal(new Set(answers.map(({ payload }) => payload)).size, 1, 'all answers are equal');
  t.match(await readBalance(device), { reserved: 3, remaining: 7 });
  await server.verifyLedger(t);
});

t.test('a settling use sent again with its key gets its answer again, not a conflict', async (t) => {
  const device = await server.registerDevice(10);
  const held = await reserve(device, OPUS);
  const { reservation_id } = held.json<{ reservation_id: string }>();
  const first = await log(device, { ...OPUS, reservation_id }, 'settle');
  t.equal(first.statusCode, 200);
  t.equal((await log(device, { ...OPUS, reservation_id }, 'settle')).payload, first.payload);
  t.equal((await log(device, { ...OPUS, reservation_id }, 'other')).statusCode, 409);
  t.match(await readBalance(device), { used: 3, reserved: 0, remaining: 7 });
  await server.verifyLedger(t);
});

t.test('an event_id may be any text that can be stored', async (t) => {
  const device = await server.registerDevice(50);
  for (const event_id of ['ü'.repeat(255), '🦊'.repeat(255), "'; drop table usage_events; --", ' ', '\n']) {
    const first = await log(device, { ...OPUS, event_id });
    t.equal(first.statusCode, 200);
    t.equal((await log(device, { ...OPUS, event_id })).payload, first.payload);
  }
  t.match(await readBalance(device), { used: 15, remaining: 35 });
  await server.verifyLedger(t);
});

t.end();
