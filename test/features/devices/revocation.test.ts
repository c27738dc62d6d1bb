import { randomUUID } from 'node:crypto';
import { findFlaws, listEndpoints, PREFIXES, readChecksums } from '../../helpers/http/bad-input.js';
import { openTestServer, type TestDevice } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);

async function answers(device: TestDevice, guardedOnly: boolean) {
  const responses = [];
  for (const endpoint of listEndpoints(device).filter(({ guarded }) => guarded || !guardedOnly)) {
    for (const prefix of PREFIXES) {
      responses.push(await server.as(device, endpoint.method, `${prefix}${endpoint.path}`, endpoint.body));
    }
  }
  return responses;
}

t.test('a blocked device is refused with DEVICE_BLOCKED everywhere, its registration included', async (t) => {
  const payload = { device_name: 'Test', hardware_fingerprint: 'bad-input' };
  const registered = await server.app.inject({ method: 'POST', url: '/api/devices/register', payload });
  const { device_id: id, device_token: token } = registered.json<{ device_id: string; device_token: string }>();
  await server.database.sql('update devices set blocked = true where id = $1', [id]);
  const before = await readChecksums(server.database);

  const responses = await answers({ id, token }, false);
  t.equal(responses.length, 14);
  for (const response of responses) {
    t.equal(response.statusCode, 403);
    t.match(response.json(), { code: 'DEVICE_BLOCKED', error: 'Device is blocked' });
    t.strictSame(findFlaws(response, 'blocked'), []);
  }
  t.strictSame(await readChecksums(server.database), before, 'nothing changed, the count of registrations included');

  await server.database.sql('update devices set blocked = false where id = $1', [id]);
  const allowed = await answers({ id, token }, false);
  t.notOk(
    allowed.some(({ statusCode }) => statusCode !== 200),
    'unblocked, the same token works again',
  );
  await server.verifyLedger(t);
});

t.test('raising token_version refuses earlier tokens on the very next request', async (t) => {
  const device = await server.registerDevice();
  t.notOk(
    (await answers(device, true)).some(({ statusCode }) => statusCode !== 200),
    'the token works',
  );
  await server.database.sql('update devices set token_version = token_version + 1 where id = $1', [device.id]);
  const before = await readChecksums(server.database);
  for (const response of await answers(device, true)) {
    t.equal(response.statusCode, 401);
    t.match(response.json(), { code: 'INVALID_TOKEN' });
  }
  t.strictSame(await readChecksums(server.database), before);
  await server.verifyLedger(t);
});

t.test('registering again after the version was raised brings a token that works', async (t) => {
  const payload = { device_name: 'Test', hardware_fingerprint: randomUUID() };
  const register = async (): Promise<TestDevice> => {
    const response = await server.app.inject({ method: 'POST', url: '/api/devices/register', payload });
    const { device_id: id, device_token: token } = response.json<{ device_id: string; device_token: string }>();
    return { id, token };
  };
  const { id } = await register();
  await server.database.sql('update devices set token_version = 7 where id = $1', [id]);
  const balance = await server.as(await register(), 'GET', `/api/devices/${id}/tokens`);
  t.equal(balance.statusCode, 200);
  await server.verifyLedger(t);
});

t.test('a device that never was is refused although its token is well signed', async (t) => {
  const id = randomUUID();
  const unknown = { id, token: server.app.jwt.sign({ aud: 'device', sub: id, ver: 1 }, { expiresIn: '1h' }) };
  const before = await readChecksums(server.database);
  for (const response of await answers(unknown, true)) {
    t.equal(response.statusCode, 401);
    t.match(response.json(), { code: 'INVALID_TOKEN' });
  }
  t.strictSame(await readChecksums(server.database), before);
  await server.verifyLedger(t);
});

t.end();
