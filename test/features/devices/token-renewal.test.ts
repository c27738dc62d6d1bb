import { randomUUID } from 'node:crypto';
import { openTestServer, type TestDevice } from '../../helpers/http/test-server.js';
import { registerWith } from '../../helpers/linked-devices.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const DAY_SECONDS = 24 * 60 * 60;

/** Signs a token of a device as the server signed it earlier: of its year so many days are left. */
function createAgedToken({ id }: TestDevice, daysLeft: number, ver = 1): string {
  const iat = Math.floor(Date.now() / 1_000) - (365 - daysLeft) * DAY_SECONDS;
  return server.app.jwt.sign({ aud: 'device', sub: id, ver, iat, exp: iat + 365 * DAY_SECONDS });
}

const use = (device: TestDevice) => server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });

t.test('in the last quarter of its year a token brings the next one with every success', async (t) => {
  const device = await server.registerDevice();
  t.equal((await use(device)).headers['x-device-token'], undefined, 'a fresh one does not');
  const middle = { ...device, token: createAgedToken(device, 100) };
  t.equal((await use(middle)).headers['x-device-token'], undefined);
  const old = { ...device, token: createAgedToken(device, 80) };
  for (const answer of [await use(old), await server.as(old, 'GET', `/api/devices/${device.id}/tokens`)]) {
    t.equal(answer.statusCode, 200);
    const token = String(answer.headers['x-device-token']);
    const next = await use({ ...device, token });
    t.equal(next.statusCode, 200);
    t.equal(next.headers['x-device-token'], undefined, 'the next one has its year before it');
  }
  await server.verifyLedger(t);
});

t.test('a request that is refused brings no token', async (t) => {
  const device = await server.registerDevice(0);
  const old = { ...device, token: createAgedToken(device, 80) };
  const poor = await use(old);
  t.equal(poor.statusCode, 403);
  t.equal(poor.headers['x-device-token'], undefined);
  await server.database.sql('update devices set token_version = 2 where id = $1', [device.id]);
  const rotated = await use(old);
  t.equal(rotated.statusCode, 401);
  t.equal(rotated.headers['x-device-token'], undefined);
});

t.test('registering again with a token that still counts brings a fresh one', async (t) => {
  const fingerprint = randomUUID();
  const { device_id: id } = (await registerWith(server, undefined, fingerprint)).json<{ device_id: string }>();
  const old = createAgedToken({ id, token: '' }, 1);
  const { device_id, device_token: token } = (await registerWith(server, old, fingerprint)).json<{
    device_id: string;
    device_token: string;
  }>();
  t.equal(device_id, id);
  t.equal((await use({ id, token })).headers['x-device-token'], undefined);
});

t.test('a token that claims more than a year, or is from the future, is refused', async (t) => {
  const device = await server.registerDevice();
  const iat = Math.floor(Date.now() / 1_000);
  const sign = (times: object) => server.app.jwt.sign({ aud: 'device', sub: device.id, ver: 1, ...times });
  for (const token of [
    sign({ iat, exp: iat + 366 * DAY_SECONDS }),
    sign({ iat: iat + DAY_SECONDS, exp: iat + 2 * DAY_SECONDS }),
  ]) {
    t.equal((await use({ ...device, token })).statusCode, 401);
  }
});

t.end();
