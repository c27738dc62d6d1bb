import { randomBytes, randomUUID } from 'node:crypto';
import { balanceLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openTestDatabase } from '../../helpers/db/test-database.js';
import { openTestServer, type TestDevice, type TestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const database = await openTestDatabase(t);
// Answers are in UTC wherever the database thinks it is.
await database.sql(`alter role authenticator in database ${database.name} set timezone to 'Asia/Kolkata'`);
const environment = { JWT_SECRET: randomBytes(32).toString('base64url') };
const server = await openTestServer(t, { database, environment });
const replica = await openTestServer(t, { database, environment });
const OPUS = { model_type: 'claude-opus-4.5' };

interface Hold {
  readonly can_use: boolean;
  readonly reservation_id: string;
  readonly expires_at: string;
  readonly remaining: number;
}

async function reserve(device: TestDevice, body: object = OPUS, on: TestServer = server): Promise<Hold> {
  const response = await on.as(device, 'POST', '/api/devices/check-can-use', { ...body, reserve: true });
  return response.json<Hold>();
}

const log = (device: TestDevice, body: object, on: TestServer = server) =>
  on.as(device, 'POST', '/api/usage/log', body);

async function readBalance(device: TestDevice) {
  const response = await server.as(device, 'GET', `/api/devices/${device.id}/tokens`);
  return response.json<{ allocated: number; used: number; reserved: number; remaining: number }>();
}

t.test('a check with reserve holds the tokens and answers the hold with its expiry', async (t) => {
  const device = await server.registerDevice(10);
  const started = Date.now();
  const hold = await reserve(device);
  t.match(hold, { can_use: true, tokens_needed: 3, remaining: 7, reservation_id: /^[0-9a-f-]{36}$/ });
  t.ok(Date.parse(hold.expires_at) > started, 'it expires in the future');
  t.match(hold.expires_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'in UTC');
  t.match(await readBalance(device), { allocated: 10, used: 0, reserved: 3, remaining: 7 });
  await server.verifyLedger(t);
});

t.test('a check with reserve that is not affordable holds nothing', async (t) => {
  const device = await server.registerDevice(2);
  const refused = await server.as(device, 'POST', '/api/devices/check-can-use', { ...OPUS, reserve: true });
  t.equal(refused.statusCode, 200);
  t.strictSame(refused.json(), { can_use: false, tokens_needed: 3, remaining: 2 });
  t.match(await readBalance(device), { reserved: 0, remaining: 2 });
  await server.verifyLedger(t);
});

t.test('held tokens cannot be spent by a use that does not name the hold', async (t) => {
  const device = await server.registerDevice(3);
  await reserve(device);
  const refused = await log(device, { model_type: 'gpt-5' });
  t.equal(refused.statusCode, 403);
  t.match(refused.json(), { code: 'INSUFFICIENT_TOKENS', requested: 1, remaining: 0 });
  await server.verifyLedger(t);
});

t.test('a use that names the hold settles it, even with nothing else left', async (t) => {
  const device = await server.registerDevice(3);
  const { reservation_id } = await reserve(device);
  const used = await log(device, { ...OPUS, reservation_id });
  t.equal(used.statusCode, 200);
  t.match(used.json(), { tokens_used: 3, remaining: 0 });
  t.match(await readBalance(device), { used: 3, reserved: 0, remaining: 0 });
  await server.verifyLedger(t);
});

t.test('a use smaller than its hold is charged as used and the rest is given back', async (t) => {
  const device = await server.registerDevice(20);
  const { reservation_id } = await reserve(device, { ...OPUS, prompt_count: 5 });
  t.match(await readBalance(device), { reserved: 15, remaining: 5 });
  const used = await log(device, { model_type: 'gpt-5', prompt_count: 2, reservation_id });
  t.match(used.json(), { tokens_used: 2, remaining: 18 });
  t.match(await readBalance(device), { used: 2, reserved: 0, remaining: 18 });
  await server.verifyLedger(t);
});

t.test('a use larger than its hold takes the difference from what remains', async (t) => {
  const device = await server.registerDevice(7);
  const { reservation_id } = await reserve(device);
  const used = await log(device, { ...OPUS, prompt_count: 2, reservation_id });
  t.match(used.json(), { tokens_used: 6, remaining: 1 });
  t.match(await readBalance(device), { used: 6, reserved: 0, remaining: 1 });
  await server.verifyLedger(t);
});

t.test('a use larger than its hold and what remains is refused, and the hold stays', async (t) => {
  const device = await server.registerDevice(5);
  const { reservation_id } = await reserve(device);
  const refused = await log(device, { ...OPUS, prompt_count: 2, reservation_id });
  t.equal(refused.statusCode, 403);
  t.match(refused.json(), { code: 'INSUFFICIENT_TOKENS', requested: 6, remaining: 5 });
  t.match(await readBalance(device), { used: 0, reserved: 3, remaining: 2 });
  t.equal((await log(device, { ...OPUS, reservation_id })).statusCode, 200, 'the hold can still be settled');
  await server.verifyLedger(t);
});

t.test('a hold is settled once, whichever of many parallel uses comes first', async (t) => {
  const device = await server.registerDevice(100);
  const { reservation_id } = await reserve(device);
  const responses = await meetAtLock(database, balanceLock(device.id, 2), () =>
    Promise.all(
      Array.from({ length: 20 }, (_, n) => log(device, { ...OPUS, reservation_id }, n % 2 === 0 ? server : replica)),
    ),
  );
  t.equal(responses.filter(({ statusCode }) => statusCode === 200).length, 1);
  t.equal(responses.filter(({ statusCode }) => statusCode === 409).length, 19);
  const again = await log(device, { ...OPUS, reservation_id });
  t.equal(again.statusCode, 409);
  t.match(again.json(), { code: 'RESERVATION_SETTLED' });
  t.match(await readBalance(device), { used: 3, reserved: 0, remaining: 97 });
  await server.verifyLedger(t);
});

t.test("a hold that does not exist and another device's are both answered 404, alike", async (t) => {
  const device = await server.registerDevice(10);
  const other = await server.registerDevice(10);
  const { reservation_id } = await reserve(other);
  const foreign = await log(device, { ...OPUS, reservation_id });
  const unknown = await log(device, { ...OPUS, reservation_id: randomUUID() });
  t.equal(foreign.statusCode, 404);
  t.match(foreign.json(), { code: 'RESERVATION_NOT_FOUND' });
  t.strictSame([foreign.statusCode, foreign.payload], [unknown.statusCode, unknown.payload]);
  t.match(await readBalance(device), { used: 0, remaining: 10 });
  t.match(await readBalance(other), { reserved: 3, remaining: 7 });
  await server.verifyLedger(t);
});

t.test('50 parallel holds on a balance for one are granted exactly once', async (t) => {
  const device = await server.registerDevice(3);
  const holds = await meetAtLock(database, balanceLock(device.id, 2), () =>
    Promise.all(Array.from({ length: 50 }, (_, n) => reserve(device, OPUS, n % 2 === 0 ? server : replica))),
  );
  t.equal(holds.filter(({ can_use }) => can_use).length, 1);
  t.equal(holds.filter(({ reservation_id }) => reservation_id !== undefined).length, 1);
  t.match(await readBalance(device), { reserved: 3, remaining: 0 });
  await server.verifyLedger(t);
});

t.end();
