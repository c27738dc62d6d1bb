import { randomUUID } from 'node:crypto';
import { createApiKey, registerUser, sendWith } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { insertionLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { PREFIXES, readChecksums } from '../../helpers/http/bad-input.js';
import { forge, forgeAll, forgeLifetimes } from '../../helpers/http/forged-tokens.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { listDevices, type Registration, registerWith, registrationOf } from '../../helpers/linked-devices.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const { database } = server;

async function readOwner(device: string): Promise<string | null> {
  const [row] = await database.sql<{ user_id: string | null }>('select user_id from devices where id = $1', [device]);
  return row?.user_id ?? null;
}

t.test("a user's token or key links the device, the first time and again", async (t) => {
  for (const prefix of PREFIXES) {
    const ada = await registerUser(server);
    for (const token of [ada.token, await createApiKey(ada)]) {
      const fingerprint = randomUUID();
      const first = await registerWith(server, token, fingerprint, prefix);
      t.equal(first.statusCode, 201);
      const device = first.json<Registration>();
      t.match(device, { linked: true, allocation: 50, remaining: 50 });
      t.equal(await readOwner(device.device_id), ada.id);
      const again = await registerWith(server, token, fingerprint, prefix);
      t.equal(again.statusCode, 200);
      t.match(again.json(), { linked: true, device_id: device.device_id });
    }
    t.equal((await listDevices(ada)).length, 2);
  }
  await server.verifyLedger(t);
});

t.test('without a header the answer is what it was, and so it is with the token of a device', async (t) => {
  const device = await server.registerDevice();
  for (const token of [undefined, device.token]) {
    const response = await registerWith(server, token);
    t.equal(response.statusCode, 201);
    t.strictSame(Object.keys(response.json<object>()), ['device_id', 'device_token', 'allocation', 'remaining']);
    t.equal(await readOwner(response.json<Registration>().device_id), null);
  }
});

t.test(
  "a device that was nobody's is linked when a user registers it and shows its token; anonymous registrations do not unlink it",
  async (t) => {
    const ada = await registerUser(server);
    const fingerprint = randomUUID();
    const { device_id, device_token } = await registrationOf(server, undefined, fingerprint);
    t.match(await registrationOf(server, ada.token, fingerprint, { device_token }), { linked: true, device_id });
    t.notOk('linked' in (await registrationOf(server, undefined, fingerprint)));
    t.equal(await readOwner(device_id), ada.id);
  },
);

t.test('a guessed fingerprint does not move a device', async (t) => {
  const [ada, eve] = [await registerUser(server), await registerUser(server)];
  const fingerprint = randomUUID();
  const { device_id } = await registrationOf(server, ada.token, fingerprint);
  const guessed = await registerWith(server, eve.token, fingerprint);
  t.equal(guessed.statusCode, 201);
  const own = guessed.json<Registration>();
  t.match(own, { linked: true });
  t.not(own.device_id, device_id);
  t.equal(await readOwner(device_id), ada.id);
  t.strictSame(await listDevices(eve), [own.device_id]);
});

t.test('two people who register one fingerprint at once get a device each', async (t) => {
  const [ada, bob] = [await registerUser(server), await registerUser(server)];
  for (let round = 0; round < 5; round += 1) {
    const fingerprint = randomUUID();
    const users = Array.from({ length: 10 }, (_, n) => (n % 2 === 0 ? ada : bob));
    const answers = await meetAtLock(server.database, insertionLock('devices', 3), () =>
      Promise.all(users.map(({ token }) => registerWith(server, token, fingerprint))),
    );
    t.equal(answers.filter(({ statusCode }) => statusCode === 201).length, 2);
    const owners = await Promise.all(answers.map((answer) => readOwner(answer.json<Registration>().device_id)));
    t.strictSame(
      owners,
      users.map(({ id }) => id),
    );
  }
  await server.verifyLedger(t);
});

t.test('any other header is 401, and nothing is registered', async (t) => {
  const ada = await registerUser(server);
  const key = await createApiKey(ada);
  const admin = await logInAsAdmin(server);
  const sign = (claims: object, expiresIn: string | number = 60) => server.app.jwt.sign(claims, { expiresIn });
  const [ended, endedKey] = [await registerUser(server), await registerUser(server)];
  const goneKey = await createApiKey(endedKey);
  await ended.as('POST', '/api/auth/logout');
  await sendWith(server, goneKey, 'GET', '/api/users/me');
  await database.sql('delete from private.api_keys where user_id = $1', [endedKey.id]);
  const device = await server.registerDevice();
  const before = await readChecksums(database);
  const headers = [
    '',
    'Bearer',
    'Bearer ',
    `Basic ${ada.token}`,
    ada.token,
    'Bearer x',
    `Bearer ${ada.token}x`,
    `Bearer ${key}x`,
    `Bearer ${key.slice(0, -1)}`,
    `Bearer ${admin.token}`,
    `Bearer ${ended.token}`,
    `Bearer ${goneKey}`,
    `Bearer ${sign({ aud: 'tracker', sub: ada.id })}`,
    `Bearer ${sign({ aud: 'user', sub: ada.id })}`,
    `Bearer ${sign({ aud: 'device', sub: device.id })}`,
    `Bearer ${sign({ aud: ['device', 'user'], sub: device.id, ver: 1 })}`,
  ];
  for (const authorization of headers) {
    const payload = { device_name: 'Laptop', hardware_fingerprint: 'with-a-wrong-header' };
    const response = await server.app.inject({
      method: 'POST',
      url: '/api/devices/register',
      headers: { authorization },
      payload,
    });
    t.equal(response.statusCode, 401, authorization.slice(0, 30));
    t.match(response.json(), { code: 'INVALID_TOKEN' });
  }
  t.strictSame(await readChecksums(database), before);
});

t.test("every forged user's token is 401, and nothing is registered", async (t) => {
  const ada = await registerUser(server);
  const [session] = await database.sql<{ id: string }>('select id from private.sessions where user_id = $1', [ada.id]);
  const iat = Math.floor(Date.now() / 1_000);
  const claims = { aud: 'user', sub: ada.id, sid: session?.id, iss: 'tokenledger', iat, exp: iat + 600 };
  const { jwtSecret } = server.backend;
  t.match((await registerWith(server, forge({ alg: 'HS256' }, claims, jwtSecret))).json(), { linked: true });
  const before = await readChecksums(database);
  for (const [title, token] of Object.entries({
    ...forgeAll(claims, jwtSecret),
    ...forgeLifetimes(claims, jwtSecret),
  })) {
    const response = await registerWith(server, token, 'with-a-forged-token');
    t.equal(response.statusCode, 401, title);
    t.match(response.json(), { code: 'INVALID_TOKEN' });
  }
  t.strictSame(await readChecksums(database), before);
});

t.test('a blocked device is refused and not linked', async (t) => {
  const ada = await registerUser(server);
  const fingerprint = randomUUID();
  const { device_id, device_token } = await registrationOf(server, undefined, fingerprint);
  await database.sql('update devices set blocked = true where id = $1', [device_id]);
  const refused = await registerWith(server, ada.token, fingerprint, '/api', { device_token });
  t.equal(refused.statusCode, 403);
  t.match(refused.json(), { code: 'DEVICE_BLOCKED' });
  t.equal(await readOwner(device_id), null);
  const hers = await registrationOf(server, ada.token, fingerprint);
  t.not(hers.device_id, device_id, 'nobody can have her shut out by a device of the same fingerprint');
  await database.sql('update devices set blocked = true where id = $1', [hers.device_id]);
  t.match((await registerWith(server, ada.token, fingerprint)).json(), { code: 'DEVICE_BLOCKED' });
});

t.test('a device that recorded in the name of one person is never linked to another', async (t) => {
  const [ada, bob] = [await registerUser(server), await registerUser(server)];
  const fingerprint = randomUUID();
  const { device_id: id, device_token: token } = await registrationOf(server, ada.token, fingerprint);
  await server.as({ id, token }, 'POST', '/api/usage/log', { model_type: 'model-of-ada' });
  await ada.as('DELETE', `/api/users/me/devices/${id}`);
  const his = await registrationOf(server, bob.token, fingerprint, { device_token: token });
  t.not(his.device_id, id);
  t.strictSame(await listDevices(bob), [his.device_id]);
  const summary = await bob.as('GET', '/api/usage/summary');
  t.match(summary.json(), { totals: { events: 0 } }, 'not even in sums is anything of hers seen');
  t.match(
    await registrationOf(server, ada.token, fingerprint),
    { linked: true, device_id: id },
    'it may come back to her',
  );
  t.strictSame(await listDevices(ada), [id]);
  t.match((await ada.as('GET', '/api/usage/summary')).json(), { totals: { events: 1 } });

  const admin = await logInAsAdmin(server);
  t.equal((await admin.as('DELETE', `/api/admin/devices/${id}`)).statusCode, 200);
  const anew = await registrationOf(server, ada.token, fingerprint);
  t.not(anew.device_id, id, 'removed by an admin it is a new device');
  await server.verifyLedger(t);
});

t.end();
