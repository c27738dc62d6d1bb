import { randomUUID } from 'node:crypto';
import { createApiKey, registerUser, sendWith } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { startDebit } from '../../helpers/db/debit-under-way.js';
import { PREFIXES, readChecksums } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { type DevicePage, listDevices, type Registration, registerWith } from '../../helpers/linked-devices.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const { database } = server;

t.test('the list has the linked devices with their balances, newest first, page by page', async (t) => {
  const ada = await registerUser(server);
  const ids: string[] = [];
  for (let n = 0; n < 7; n += 1) ids.push((await registerWith(server, ada.token)).json<Registration>().device_id);
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
    'last_used_at',
    'name',
    'registrations',
    'remaining',
    'reserved',
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

t.test('a device is renamed by the person it belongs to, and by nobody else', async (t) => {
  const [ada, eve] = [await registerUser(server), await registerUser(server)];
  const { device_id: id } = (await registerWith(server, ada.token)).json<Registration>();
  const renamed = await ada.as('PUT', `/api/users/me/devices/${id}`, { name: '  Desk ' });
  t.match(renamed, { statusCode: 200 });
  t.strictSame(renamed.json(), { device_id: id, name: 'Desk' });
  t.match((await ada.as('GET', '/api/users/me/devices')).json(), { devices: [{ id, name: 'Desk' }] });
  for (const name of ['', '   ', 'x'.repeat(201)]) {
    t.equal((await ada.as('PUT', `/api/users/me/devices/${id}`, { name })).statusCode, 400);
  }
  const refused = await eve.as('PUT', `/api/users/me/devices/${id}`, { name: 'Mine' });
  t.match(refused.json(), { code: 'DEVICE_NOT_FOUND' });
  t.equal(refused.statusCode, 404);
});

t.test("what a linked device uses is in the person's name and shows in the list", async (t) => {
  const ada = await registerUser(server);
  const { device_id: id, device_token: token } = (await registerWith(server, ada.token)).json<Registration>();
  await server.as({ id, token }, 'POST', '/api/usage/log', { model_type: 'claude-opus-4.5' });
  await server.as({ id, token }, 'POST', '/api/devices/check-can-use', { model_type: 'gpt-5', reserve: true });
  t.match((await ada.as('GET', '/api/users/me/devices')).json(), {
    devices: [
      { id, name: 'Laptop', blocked: false, registrations: 1, allocated: 50, used: 3, reserved: 1, remaining: 46 },
    ],
  });
  const [device] = (await ada.as('GET', '/api/users/me/devices')).json<{ devices: { last_used_at: string }[] }>()
    .devices;
  const age = Date.now() - Date.parse(device?.last_used_at ?? '');
  t.ok(age >= 0 && age < 31 * 60_000, 'last use, by the quarter hour');
  t.match(await database.sql('select user_id from usage_events where device_id = $1', [id]), [{ user_id: ada.id }]);
  await server.verifyLedger(t);
});

t.test("an unlinked device keeps its balance and loses its token, and is no longer the person's", async (t) => {
  for (const prefix of PREFIXES) {
    const ada = await registerUser(server);
    const { device_id: id, device_token: token } = (await registerWith(server, ada.token)).json<Registration>();
    const use = () => server.as({ id, token }, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
    await use();
    const response = await ada.as('DELETE', `${prefix}/users/me/devices/${id.toUpperCase()}`);
    t.equal(response.statusCode, 200);
    t.strictSame(response.json(), { device_id: id, unlinked: true });
    t.strictSame(await listDevices(ada), []);
    t.match((await use()).json(), { code: 'INVALID_TOKEN' });
    const [balance] = await database.sql('select allocated - used as left from balances where subject_id = $1', [id]);
    t.match(balance, { left: '49' });
    t.equal((await ada.as('DELETE', `${prefix}/users/me/devices/${id}`)).statusCode, 404, 'it is unlinked once');
    const names = await database.sql('select user_id from usage_events where device_id = $1', [id]);
    t.strictSame(names, [{ user_id: ada.id }], 'what was in their name stays so');
  }
  await server.verifyLedger(t);
});

t.test('unlinking waits for a debit under way, so that none names the person after it was answered', async (t) => {
  const ada = await registerUser(server);
  const { device_id: id, device_token: token } = (await registerWith(server, ada.token)).json<Registration>();
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
  const device = (await registerWith(server, ada.token)).json<Registration>();
  const removed = (await registerWith(server, bob.token)).json<Registration>();
  t.equal((await admin.as('DELETE', `/api/admin/devices/${removed.device_id}`)).statusCode, 200);
  t.strictSame(await listDevices(bob), [], 'a removed device is not listed');
  const unowned = await server.registerDevice();
  const key = await createApiKey(bob);
  await sendWith(server, key, 'GET', '/api/users/me');
  const before = await readChecksums(database);
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
  t.strictSame(await readChecksums(database), before);
});

t.end();
