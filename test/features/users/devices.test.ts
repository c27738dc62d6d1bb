import { randomUUID } from 'node:crypto';
import t from 'tap';
import { createApiKey, registerUser, sendWith, type TestUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { startDebit } from '../../helpers/db/debit-under-way.js';
import { checksumsOf, PREFIXES } from '../../helpers/http/bad-input.js';
import { forge, forgedLifetimes, forgeriesOf } from '../../helpers/http/forged-tokens.js';
import { openTestServer } from '../../helpers/http/test-server.js';

const server = await openTestServer(t);
const { database } = server;

interface Registration {
  readonly device_id: string;
  readonly device_token: string;
  readonly linked?: boolean;
}
interface DevicePage {
  readonly devices: { readonly id: string; readonly created_at: string }[];
  readonly next_cursor: string | null;
}

function register(token: string | undefined, fingerprint: string = randomUUID(), prefix = '/api') {
  const payload = { device_name: 'Laptop', hardware_fingerprint: fingerprint };
  return sendWith(server, token, 'POST', `${prefix}/devices/register`, payload);
}

async function listDevices(user: TestUser): Promise<string[]> {
  const { devices } = (await user.as('GET', '/api/users/me/devices?limit=200')).json<DevicePage>();
  return devices.map(({ id }) => id);
}

async function readOwner(device: string): Promise<string | null> {
  const [row] = await database.sql<{ user_id: string | null }>('select user_id from devices where id = $1', [device]);
  return row?.user_id ?? null;
}

t.test("a user's token or key links the device, the first time and again", async (t) => {
  for (const prefix of PREFIXES) {
    const ada = await registerUser(server);
    for (const token of [ada.token, await createApiKey(ada)]) {
      const fingerprint = randomUUID();
      const first = await register(token, fingerprint, prefix);
      t.equal(first.statusCode, 201);
      const device = first.json<Registration>();
      t.match(device, { linked: true, allocation: 50, remaining: 50 });
      t.equal(await readOwner(device.device_id), ada.id);
      const again = await register(token, fingerprint, prefix);
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
    const response = await register(token);
    t.equal(response.statusCode, 201);
    t.strictSame(Object.keys(response.json<object>()), ['device_id', 'device_token', 'allocation', 'remaining']);
    t.equal(await readOwner(response.json<Registration>().device_id), null);
  }
});

t.test(
  "a device that was nobody's is linked when a user registers it; anonymous registrations do not unlink it",
  async (t) => {
    const ada = await registerUser(server);
    const fingerprint = randomUUID();
    const { device_id } = (await register(undefined, fingerprint)).json<Registration>();
    t.match((await register(ada.token, fingerprint)).json(), { linked: true, device_id });
    t.notOk('linked' in (await register(undefined, fingerprint)).json<object>());
    t.equal(await readOwner(device_id), ada.id);
  },
);

t.test('a guessed fingerprint does not move a device', async (t) => {
  const [ada, eve] = [await registerUser(server), await registerUser(server)];
  const fingerprint = randomUUID();
  const { device_id } = (await register(ada.token, fingerprint)).json<Registration>();
  const guessed = await register(eve.token, fingerprint);
  t.equal(guessed.statusCode, 200);
  t.match(guessed.json(), { linked: false, device_id });
  t.equal(await readOwner(device_id), ada.id);
  t.strictSame(await listDevices(eve), []);
});

t.test('of two people who register one device at once one gets it', async (t) => {
  const [ada, bob] = [await registerUser(server), await registerUser(server)];
  for (let round = 0; round < 5; round += 1) {
    const fingerprint = randomUUID();
    const users = Array.from({ length: 10 }, (_, n) => (n % 2 === 0 ? ada : bob));
    const answers = await Promise.all(users.map(({ token }) => register(token, fingerprint)));
    t.equal(answers.filter(({ statusCode }) => statusCode === 201).length, 1);
    const owner = await readOwner(answers[0]?.json<Registration>().device_id ?? '');
    t.strictSame(
      answers.map((answer) => answer.json<Registration>().linked),
      users.map(({ id }) => id === owner),
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
  const before = await checksumsOf(database);
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
  t.strictSame(await checksumsOf(database), before);
});

t.test("every forged user's token is 401, and nothing is registered", async (t) => {
  const ada = await registerUser(server);
  const [session] = await database.sql<{ id: string }>('select id from private.sessions where user_id = $1', [ada.id]);
  const iat = Math.floor(Date.now() / 1_000);
  const claims = { aud: 'user', sub: ada.id, sid: session?.id, iss: 'tokenledger', iat, exp: iat + 600 };
  const { jwtSecret } = server.backend;
  t.match((await register(forge({ alg: 'HS256' }, claims, jwtSecret))).json(), { linked: true });
  const before = await checksumsOf(database);
  for (const [title, token] of Object.entries({
    ...forgeriesOf(claims, jwtSecret),
    ...forgedLifetimes(claims, jwtSecret),
  })) {
    const response = await register(token, 'with-a-forged-token');
    t.equal(response.statusCode, 401, title);
    t.match(response.json(), { code: 'INVALID_TOKEN' });
  }
  t.strictSame(await checksumsOf(database), before);
});

t.test('a blocked device is refused and not linked', async (t) => {
  const ada = await registerUser(server);
  const fingerprint = randomUUID();
  const { device_id } = (await register(undefined, fingerprint)).json<Registration>();
  await database.sql('update devices set blocked = true where id = $1', [device_id]);
  const refused = await register(ada.token, fingerprint);
  t.equal(refused.statusCode, 403);
  t.match(refused.json(), { code: 'DEVICE_BLOCKED' });
  t.equal(await readOwner(device_id), null);
});

t.test('the list has the linked devices with their balances, newest first, page by page', async (t) => {
  const ada = await registerUser(server);
  const ids: string[] = [];
  for (let n = 0; n < 7; n += 1) ids.push((await register(ada.token)).json<Registration>().device_id);
  await database.sql(`update devices set created_at = '2026-11-01T00:00:00.5Z' where id = any ($1)`, [ids.slice(0, 4)]);
  const response = await ada.as('GET', '/api/users/me/devices');
  t.equal(response.statusCode, 200);
  const { devices, next_cursor } = response.json<DevicePage>();
  t.equal(next_cursor, null);
  t.strictSame(
    devices.map(({ id }) => id),
    [...ids.slice(4).reverse(), ...ids.slice(0, 4).sort().reverse()],
  );
  t.strictSame(Object.keys(devices[0] ?? {}).sort(), [
    'allocated',
    'blocked',
    'created_at',
    'id',
    'last_registered_at',
    'name',
    'registrations',
    'remaining',
    'used',
  ]);
  for (let limit = 1; limit <= 7; limit += 1) {
    const walked: unknown[] = [];
    let query = '';
    do {
      const page = (await ada.as('GET', `/api/users/me/devices?limit=${limit}${query}`)).json<DevicePage>();
      walked.push(...page.devices);
      query = page.next_cursor === null ? '' : `&cursor=${page.next_cursor}`;
    } while (query !== '');
    t.strictSame(walked, devices, `limit ${limit}`);
  }
  const cursor = Buffer.from(JSON.stringify({ at: 'yesterday at noon', id: ada.id })).toString('base64url');
  t.match((await ada.as('GET', `/api/users/me/devices?cursor=${cursor}`)).json(), { code: 'VALIDATION_FAILED' });
});

t.test("what a linked device uses is in the person's name and shows in the list", async (t) => {
  const ada = await registerUser(server);
  const { device_id: id, device_token: token } = (await register(ada.token)).json<Registration>();
  await server.as({ id, token }, 'POST', '/api/usage/log', { model_type: 'claude-opus-4.5' });
  await server.as({ id, token }, 'POST', '/api/devices/check-can-use', { model_type: 'gpt-5', reserve: true });
  t.match((await ada.as('GET', '/api/users/me/devices')).json(), {
    devices: [{ id, name: 'Laptop', blocked: false, registrations: 1, allocated: 50, used: 3, remaining: 46 }],
  });
  t.match(await database.sql('select user_id from usage_events where device_id = $1', [id]), [{ user_id: ada.id }]);
  await server.verifyLedger(t);
});

t.test("an unlinked device keeps its balance and its token, and is no longer the person's", async (t) => {
  for (const prefix of PREFIXES) {
    const ada = await registerUser(server);
    const { device_id: id, device_token: token } = (await register(ada.token)).json<Registration>();
    const use = () => server.as({ id, token }, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
    await use();
    const response = await ada.as('DELETE', `${prefix}/users/me/devices/${id.toUpperCase()}`);
    t.equal(response.statusCode, 200);
    t.strictSame(response.json(), { device_id: id, unlinked: true });
    t.strictSame(await listDevices(ada), []);
    t.match((await use()).json(), { tokens_used: 1, remaining: 48 });
    t.equal((await ada.as('DELETE', `${prefix}/users/me/devices/${id}`)).statusCode, 404, 'it is unlinked once');
    const names = await database.sql('select user_id from usage_events where device_id = $1 order by created_at', [id]);
    t.strictSame(names, [{ user_id: ada.id }, { user_id: null }], 'what was in their name stays so');
  }
  await server.verifyLedger(t);
});

t.test('unlinking waits for a debit under way, so that none names the person after it was answered', async (t) => {
  const ada = await registerUser(server);
  const { device_id: id, device_token: token } = (await register(ada.token)).json<Registration>();
  const debit = await startDebit(database, { id, token });
  const unlinking = ada.as('DELETE', `/api/users/me/devices/${id}`);
  // An injected request starts once somebody waits for its answer.
  unlinking.catch(() => {});
  await debit.awaited();
  await debit.commit();
  t.equal((await unlinking).statusCode, 200);
  await server.verifyLedger(t);
});

t.test("another's device, a removed one and one that never was are not found", async (t) => {
  const [ada, bob] = [await registerUser(server), await registerUser(server)];
  const admin = await logInAsAdmin(server, 'remover');
  const device = (await register(ada.token)).json<Registration>();
  const removed = (await register(bob.token)).json<Registration>();
  t.equal((await admin.as('DELETE', `/api/admin/devices/${removed.device_id}`)).statusCode, 200);
  t.strictSame(await listDevices(bob), [], 'a removed device is not listed');
  const unowned = await server.registerDevice();
  const key = await createApiKey(bob);
  await sendWith(server, key, 'GET', '/api/users/me');
  const before = await checksumsOf(database);
  for (const id of [device.device_id, removed.device_id, unowned.id, randomUUID()]) {
    for (const token of [bob.token, key]) {
      const response = await sendWith(server, token, 'DELETE', `/api/users/me/devices/${id}`);
      t.equal(response.statusCode, 404);
      t.match(response.json(), { code: 'DEVICE_NOT_FOUND' });
    }
  }
  for (const id of ['x', '%00', `${device.device_id}0`]) {
    t.equal((await bob.as('DELETE', `/api/users/me/devices/${id}`)).statusCode, 400, id);
  }
  t.strictSame(await checksumsOf(database), before);
});

t.test('a device that recorded in the name of one person is never linked to another', async (t) => {
  const [ada, bob] = [await registerUser(server), await registerUser(server)];
  const fingerprint = randomUUID();
  const { device_id: id, device_token: token } = (await register(ada.token, fingerprint)).json<Registration>();
  await server.as({ id, token }, 'POST', '/api/usage/log', { model_type: 'model-of-ada' });
  await ada.as('DELETE', `/api/users/me/devices/${id}`);
  t.match((await register(bob.token, fingerprint)).json(), { linked: false, device_id: id });
  t.strictSame(await listDevices(bob), []);
  const summary = await bob.as('GET', '/api/usage/summary');
  t.match(summary.json(), { totals: { events: 0 } }, 'not even in sums is anything of hers seen');
  t.match((await register(ada.token, fingerprint)).json(), { linked: true }, 'it may come back to her');
  t.strictSame(await listDevices(ada), [id]);
  t.match((await ada.as('GET', '/api/usage/summary')).json(), { totals: { events: 1 } });

  const admin = await logInAsAdmin(server);
  t.equal((await admin.as('DELETE', `/api/admin/devices/${id}`)).statusCode, 200);
  t.match((await register(bob.token, fingerprint)).json(), { linked: true }, 'removed by an admin it is a new device');
  t.match((await bob.as('GET', '/api/usage/summary')).json(), { totals: { events: 0 } });
  await server.verifyLedger(t);
});

t.end();
