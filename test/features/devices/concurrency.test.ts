import { randomBytes, randomUUID } from 'node:crypto';
import { balanceLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openTestServer, type TestDevice, type TestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';

/** Opens two servers on one database: each sends its debits one batch after the other, so that only batches of two meet. */
async function openTwoServers(t: Test): Promise<readonly [TestServer, TestServer]> {
  const environment = { JWT_SECRET: randomBytes(32).toString('base64url') };
  const server = await openTestServer(t, { environment });
  return [server, await openTestServer(t, { database: server.database, environment })];
}

/** Sends uses to both servers in turn; a batch of each meets the other's at the balance. */
async function logInParallel(
  servers: readonly [TestServer, TestServer],
  device: TestDevice,
  count: number,
  body: object,
  headers = {},
) {
  const [server] = servers;
  return meetAtLock(server.database, balanceLock(device.id, 2), () =>
    Promise.all(
      Array.from({ length: count }, (_, n) =>
        (servers[n % 2] ?? server).as(device, 'POST', '/api/usage/log', body, headers),
      ),
    ),
  );
}

t.test('200 parallel uses of a device with 50 tokens succeed exactly 50 times', async (t) => {
  const servers = await openTwoServers(t);
  const [server] = servers;
  const responses = await logInParallel(servers, await server.registerDevice(50), 200, { model_type: 'gpt-5' });
  const succeeded = responses.filter(({ statusCode }) => statusCode === 200);
  const refused = responses.filter(({ statusCode }) => statusCode === 403);
  t.equal(succeeded.length, 50);
  t.equal(refused.length, 150);
  const remaining = succeeded.map((response) => response.json<{ remaining: number }>().remaining);
  t.strictSame(
    remaining.sort((a, b) => a - b),
    Array.from({ length: 50 }, (_, n) => n),
    'each success saw its own balance',
  );
  for (const response of refused) {
    t.match(response.json(), { error: 'Insufficient tokens', code: 'INSUFFICIENT_TOKENS', requested: 1, remaining: 0 });
  }
  await server.verifyLedger(t);
});

t.test('a model that costs 3 fits 16 times into 50 tokens', async (t) => {
  const servers = await openTwoServers(t);
  const [server] = servers;
  const device = await server.registerDevice(50);
  const responses = await logInParallel(servers, device, 200, { model_type: 'claude-opus-4.5' });
  t.equal(responses.filter(({ statusCode }) => statusCode === 200).length, 16);
  const refused = responses.filter(({ statusCode }) => statusCode === 403);
  t.equal(refused.length, 184);
  t.match(refused.at(-1)?.json(), { requested: 3, remaining: 2 });
  await server.verifyLedger(t);
});

t.test('one idempotency key sent 50 times in parallel is one event and 50 equal answers', async (t) => {
  const servers = await openTwoServers(t);
  const [server] = servers;
  const device = await server.registerDevice();
  const headers = { 'idempotency-key': randomUUID() };
  const body = { model_type: 'claude-opus-4.5' };
  const responses = await logInParallel(servers, device, 50, body, headers);
  t.strictSame(new Set(responses.map(({ statusCode }) => statusCode)), new Set([200]));
  t.equal(new Set(responses.map(({ payload }) => payload)).size, 1, 'all answers are equal');
  const [row] = await server.database.sql<{ count: string }>('select count(*) from usage_events');
  t.equal(row?.count, '1');

  const other = await server.as(device, 'POST', '/api/usage/log', { ...body, prompt_count: 2 }, headers);
  t.equal(other.statusCode, 422);
  t.match(other.json(), { code: 'IDEMPOTENCY_MISMATCH' });
  await server.verifyLedger(t);
});
