import { randomUUID } from 'node:crypto';
import { openTestDatabase } from '../../helpers/db/test-database.js';
import { readChecksums } from '../../helpers/http/bad-input.js';
import { openTestServer, type TestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const database = await openTestDatabase(t);
const ENROLLMENT_KEY = 'open-sesame-2026';

function register(server: TestServer, extra: object = {}, fingerprint: string = randomUUID()) {
  const payload = { device_name: 'Laptop', hardware_fingerprint: fingerprint, ...extra };
  return server.app.inject({ method: 'POST', url: '/api/devices/register', payload });
}

t.test('open: any device registers, and a key it happens to send does not matter', async (t) => {
  const server = await openTestServer(t, { database, environment: { DEFAULT_DEVICE_TOKENS: '20' } });
  for (const extra of [{}, { enrollment_key: 'whatever' }, { enrollment_key: '' }]) {
    const response = await register(server, extra);
    t.equal(response.statusCode, 201);
    t.match(response.json(), { allocation: 20, remaining: 20 });
  }
  await server.verifyLedger(t);
});

t.test('key: only a device that sends the key registers, also when it comes back', async (t) => {
  const server = await openTestServer(t, { database, environment: { DEVICE_ENROLLMENT: 'key', ENROLLMENT_KEY } });
  const before = await readChecksums(database);
  const wrong = [
    {},
    { enrollment_key: '' },
    { enrollment_key: 'open-sesame' },
    { enrollment_key: `${ENROLLMENT_KEY} ` },
  ];
  for (const extra of wrong) {
    const refused = await register(server, extra);
    t.equal(refused.statusCode, 403);
    t.match(refused.json(), { code: 'ENROLLMENT_KEY_INVALID' });
    t.notMatch(refused.payload, ENROLLMENT_KEY);
  }
  t.strictSame(await readChecksums(database), before, 'no device was made');

  const fingerprint = randomUUID();
  const key = { enrollment_key: ENROLLMENT_KEY };
  t.equal((await register(server, key, fingerprint)).statusCode, 201);
  t.equal((await register(server, {}, fingerprint)).statusCode, 403);
  t.equal((await register(server, key, fingerprint)).statusCode, 200);
  await server.verifyLedger(t);
});

t.test('approval: a new device has a token but nothing to spend', async (t) => {
  const server = await openTestServer(t, { database, environment: { DEVICE_ENROLLMENT: 'approval' } });
  const response = await register(server);
  t.equal(response.statusCode, 201);
  t.match(response.json(), { allocation: 0, remaining: 0 });
  const { device_id: id, device_token: token } = response.json<{ device_id: string; device_token: string }>();
  const device = { id, token };
  const check = await server.as(device, 'POST', '/api/devices/check-can-use', { model_type: 'gpt-5' });
  t.match(check.json(), { can_use: false, tokens_needed: 1, remaining: 0 });
  const refused = await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
  t.equal(refused.statusCode, 403);
  t.match(refused.json(), { code: 'INSUFFICIENT_TOKENS' });
  await server.verifyLedger(t);
});

t.test('approval: a device that was given tokens before keeps them', async (t) => {
  const open = await openTestServer(t, { database });
  const fingerprint = randomUUID();
  await register(open, {}, fingerprint);
  const server = await openTestServer(t, { database, environment: { DEVICE_ENROLLMENT: 'approval' } });
  const again = await register(server, {}, fingerprint);
  t.equal(again.statusCode, 200);
  t.match(again.json(), { allocation: 50, remaining: 50 });
  await server.verifyLedger(t);
});

t.test('40 parallel registrations of one fingerprint make one device with one allocation', async (t) => {
  const server = await openTestServer(t, { database });
  const fingerprint = randomUUID();
  const responses = await Promise.all(Array.from({ length: 40 }, () => register(server, {}, fingerprint)));
  t.equal(responses.filter(({ statusCode }) => statusCode === 201).length, 1);
  t.equal(responses.filter(({ statusCode }) => statusCode === 200).length, 39);
  const ids = new Set(responses.map((response) => response.json<{ device_id: string }>().device_id));
  t.equal(ids.size, 1);
  const grants = await database.sql('select amount from ledger_entries where subject_id = any ($1)', [[...ids]]);
  t.strictSame(grants, [{ amount: '50' }]);
  await server.verifyLedger(t);
});

t.end();
