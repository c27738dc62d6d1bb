import { randomUUID } from 'node:crypto';
import { logInAsAdmin, type TestAdmin } from '../../helpers/admin.js';
import { openTestServer, type TestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

let server: TestServer;
let admin: TestAdmin;
t.before(async () => {
  server = await openTestServer(t);
  admin = await logInAsAdmin(server);
});

t.test('rotating a device ends its tokens; registering again brings a new one and no tokens', async (t) => {
  const hardware_fingerprint = randomUUID();
  const register = async () => {
    const payload = { device_name: 'Laptop', hardware_fingerprint };
    const response = await server.app.inject({ method: 'POST', url: '/api/devices/register', payload });
    const { device_id: id, device_token: token } = response.json<{ device_id: string; device_token: string }>();
    return { id, token };
  };
  const device = await register();
  const rotated = await admin.as('POST', `/api/admin/devices/${device.id}/rotate`);
  t.match(rotated.json(), { device_id: device.id, token_version: 2 });
  t.equal((await server.as(device, 'GET', `/api/devices/${device.id}/tokens`)).statusCode, 401);
  const again = await register();
  t.equal(again.id, device.id);
  t.match((await server.as(again, 'GET', `/api/devices/${device.id}/tokens`)).json(), { allocated: 50 });
  await server.verifyLedger(t);
});

t.test('a deleted device is gone, its unused tokens return, its usage stays in the books', async (t) => {
  const before = (await admin.as('GET', '/api/admin/budget')).json<{ allocated: number }>();
  const device = await server.registerDevice();
  await server.as(device, 'POST', '/api/usage/log', { model_type: 'claude-opus-4.5' });
  await server.as(device, 'POST', '/api/devices/check-can-use', { model_type: 'gpt-5', reserve: true });
  const deleted = await admin.as('DELETE', `/api/admin/devices/${device.id}`);
  t.strictSame(deleted.json(), { device_id: device.id, returned: 47 });
  t.equal((await server.as(device, 'GET', `/api/devices/${device.id}/tokens`)).statusCode, 401);
  t.match((await admin.as('GET', '/api/admin/budget')).json(), { allocated: before.allocated + 3, reserved: 0 });
  const events = await server.database.sql('select id from usage_events where device_id = $1', [device.id]);
  t.equal(events.length, 1);
  for (const [method, url, payload] of [
    ['DELETE', `/api/admin/devices/${device.id}`, undefined],
    ['PATCH', `/api/admin/devices/${device.id}`, { name: 'x' }],
    ['POST', '/api/admin/allocate', { device_id: device.id, tokens: 1 }],
    ['POST', '/api/admin/block-device', { device_id: device.id, blocked: true }],
  ] as const) {
    const response = await admin.as(method, url, payload);
    t.equal(response.statusCode, 404, `${method} ${url}`);
    t.match(response.json(), { code: 'DEVICE_NOT_FOUND' });
  }
  await server.verifyLedger(t);
});

t.test('tokens are given, clawed back as far as unused, and moved with both legs or none', async (t) => {
  const source = await server.registerDevice();
  const target = await server.registerDevice();
  await server.as(source, 'POST', '/api/usage/log', { model_type: 'gpt-5', prompt_count: 10 });
  const allocate = (body: object) => admin.as('POST', '/api/admin/allocate', body);
  t.match((await allocate({ device_id: source.id, tokens: 20 })).json(), { allocated: 70, used: 10, remaining: 60 });
  t.match((await allocate({ device_id: source.id, tokens: -60 })).json(), { allocated: 10, remaining: 0 });
  const more = await allocate({ device_id: target.id, tokens: 1, from_device_id: source.id });
  t.equal(more.statusCode, 403);
  t.match(more.json(), { code: 'INSUFFICIENT_TOKENS', requested: 1, remaining: 0 });
  t.match((await allocate({ device_id: source.id, tokens: 10, from_device_id: target.id })).json(), {
    allocated: 20,
    from: { device_id: target.id, allocated: 40 },
  });
  await server.verifyLedger(t);
});

t.test('users get, return and pass on tokens the same way, from a pool of their own', async (t) => {
  const create = async (email: string) =>
    (await admin.as('POST', '/api/admin/users', { email })).json<{ id: string }>().id;
  const ada = await create('ada@example.com');
  const bob = await create('bob@example.com');
  t.match((await admin.as('POST', '/api/admin/allocate', { user_id: ada, tokens: 500 })).json(), {
    user_id: ada,
    allocated: 1_000_500,
  });
  const moved = await admin.as('POST', '/api/admin/allocate', { user_id: bob, tokens: 500, from_user_id: ada });
  t.match(moved.json(), { user_id: bob, allocated: 1_000_500, from: { user_id: ada, allocated: 1_000_000 } });
  t.match((await admin.as('GET', '/api/admin/budget?subject_kind=user')).json(), { allocated: 2_000_500 });
  const mixed = await admin.as('POST', '/api/admin/allocate', { user_id: bob, tokens: 1, from_device_id: ada });
  t.equal(mixed.statusCode, 400);
  await server.verifyLedger(t);
});

t.test('accounts are listed for admins in the shape of contract 4, and an e-mail is taken once', async (t) => {
  const created = await admin.as('POST', '/api/admin/users', {
    email: ' Grace@Example.com ',
    name: 'Grace',
    password: 'a long password',
  });
  t.equal(created.statusCode, 201);
  t.match(created.json(), {
    email: 'grace@example.com',
    total_tokens: 1_000_000,
    tokens_used: 0,
    tokens_left: 1_000_000,
  });
  const taken = await admin.as('POST', '/api/admin/users', { email: 'GRACE@example.com' });
  t.equal(taken.statusCode, 409);
  t.match(taken.json(), { code: 'EMAIL_TAKEN' });

  const list = (await admin.as('GET', '/api/users?limit=1')).json<{ users: object[]; next_cursor: string }>();
  t.match(list, { success: true, count: 3, users: [{ name: 'Grace' }] });
  const next = await admin.as('GET', `/api/users?limit=2&cursor=${list.next_cursor}`);
  t.match(next.json(), { users: [{ email: 'bob@example.com' }, { email: 'ada@example.com' }] });
  t.match((await admin.as('GET', '/api/admin/users?q=GRACE')).json(), { count: 1 });
  t.notMatch(created.payload, /argon2/, 'no hash is ever answered');
});
