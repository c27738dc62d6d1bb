import { registerUser, sendWith } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { signUp } from '../../helpers/tracker.js';

const server = await openTestServer(t);
const admin = await logInAsAdmin(server);
const EXTRAS = { client_version: '1.2.3', nested: { a: [null] }, nothing: null };

const post = (url: string, payload: object) => server.app.inject({ method: 'POST', url, payload });

t.test('unknown members are ignored on the routes of contracts 1, 2 and 5, and null means absent', async (t) => {
  const account = { email: 'ada@example.com', password: 'correct horse battery staple', ...EXTRAS };
  t.equal((await post('/api/auth/register', { ...account, name: null, invitation: null })).statusCode, 201);
  const login = await post('/api/auth/login', account);
  t.equal(login.statusCode, 200);
  const { token, refresh_token } = login.json<{ token: string; refresh_token: string }>();
  t.equal((await post('/api/auth/refresh', { refresh_token, ...EXTRAS })).statusCode, 200);
  t.equal((await post('/api/signup', { email: account.email, ...EXTRAS })).statusCode, 200);
  t.match((await post('/api/signup', { email: null })).json(), { error: 'Email is required' });
  const changes: ['PUT' | 'POST', string, object][] = [
    ['PUT', '/api/users/me', { name: 'Ada', email: null, ...EXTRAS }],
    ['PUT', '/api/users/me/settings', { settings: { theme: null }, version: null, device: null, ...EXTRAS }],
    ['PUT', '/api/sync/settings', { settings: { theme: 'dark' }, ...EXTRAS }],
    ['POST', '/api/sync/push', { base_version: 0, changes: {}, device: null, ...EXTRAS }],
    ['POST', '/api/auth/logout', { refresh_token, all: null, ...EXTRAS }],
  ];
  for (const [method, url, body] of changes) {
    t.equal((await sendWith(server, token, method, url, body)).statusCode, 200, url);
  }
});

t.test(
  'the same within what a body holds: changes go back as they were pulled, with members of a client besides',
  async (t) => {
    const user = await registerUser(server);
    const push = async (changes: object) => {
      const response = await user.as('POST', '/api/sync/push', { base_version: 0, changes });
      t.equal(response.statusCode, 200, JSON.stringify(changes));
      return response.json<{ settings: object }>().settings;
    };
    const theme = { value: 'dark', updated_at: 1_000 };
    t.strictSame(await push({ theme: { ...theme, device: 'laptop', version: 3, ...EXTRAS } }), { theme: 'dark' });
    t.strictSame(await push({ theme: { value: 'light', deleted: null, updated_at: 2_000 } }), { theme: 'light' });
    t.strictSame(await push({ theme: { value: null, deleted: false, updated_at: 3_000 } }), { theme: null });
    t.strictSame(await push({ theme: { value: null, deleted: true, updated_at: 4_000, ...EXTRAS } }), {});
    t.strictSame(await push({ page: { value: { unknown: null }, updated_at: 1 } }), { page: { unknown: null } });
    for (const change of [
      null,
      { ...theme, deleted: true },
      { ...EXTRAS, updated_at: 1 },
      { value: 1, updated_at: null },
    ]) {
      const response = await user.as('POST', '/api/sync/push', { base_version: 0, changes: { theme: change } });
      t.equal(response.statusCode, 400, JSON.stringify(change));
    }
  },
);

t.test('null still clears what it clears', async (t) => {
  const user = await registerUser(server);
  await user.as('PUT', '/api/users/me', { name: 'Ada' });
  t.match((await user.as('PUT', '/api/users/me', { name: null, ...EXTRAS })).json(), {
    name: user.email.split('@')[0],
  });
});

t.test('the same on the routes of contract 3, for devices and admins', async (t) => {
  const registration = { device_name: 'Laptop', hardware_fingerprint: 'forgiven', enrollment_key: null, ...EXTRAS };
  const registered = await post('/api/devices/register', registration);
  t.equal(registered.statusCode, 201);
  const { device_id, device_token: token } = registered.json<{ device_id: string; device_token: string }>();
  const use = { model_type: 'gpt-5', prompt_count: null, event_id: null, ...EXTRAS };
  for (const url of ['/api/devices/check-can-use', `/api/devices/${device_id}/usage`, '/api/usage/log']) {
    t.equal((await sendWith(server, token, 'POST', url, use)).statusCode, 200, url);
  }
  const acts: [string, object][] = [
    ['allocate', { device_id, tokens: 5, from_device_id: null, user_id: null }],
    ['block-device', { device_id, blocked: false }],
    ['reset-monthly', { default_tokens: 50, force: null }],
  ];
  for (const [path, body] of acts) {
    t.equal((await admin.as('POST', `/api/admin/${path}`, { ...body, ...EXTRAS })).statusCode, 200, path);
  }
  await server.verifyLedger(t);
});

t.test('a whole number may be text where it is plainly one, and is the same request', async (t) => {
  const device = await server.registerDevice(50);
  const use = { model_type: 'gpt-5', prompt_count: 5 };
  const check = (body: object) => server.as(device, 'POST', '/api/devices/check-can-use', body);
  t.match((await check({ ...use, prompt_count: '5' })).json(), { can_use: true, tokens_needed: 5 });
  for (const url of ['/api/usage/log', `/api/devices/${device.id}/usage`]) {
    const log = (prompt_count: unknown) =>
      server.as(device, 'POST', url, { ...use, prompt_count }, { 'idempotency-key': url });
    const first = await log('5');
    t.match(first.json(), { tokens_used: 5 });
    for (const form of [5, ' 5 ', '05']) t.equal((await log(form)).payload, first.payload, JSON.stringify(form));
  }
  const { allocated } = (await server.as(device, 'GET', `/api/devices/${device.id}/tokens`)).json<{
    allocated: number;
  }>();
  const allocate = (tokens: unknown, key?: string) =>
    admin.as('POST', '/api/admin/allocate', { device_id: device.id, tokens }, key ? { 'idempotency-key': key } : {});
  for (const form of ['5', 5, ' 5']) t.match((await allocate(form, 'k')).json(), { allocated: allocated + 5 });
  t.match((await allocate('-5')).json(), { allocated });
  t.equal((await admin.as('POST', '/api/admin/reset-monthly', { default_tokens: '50', force: true })).statusCode, 200);

  const unclear = [
    '',
    ' ',
    '5.0',
    '5.5',
    '1e1',
    '+5',
    '1,000',
    '1 0',
    '0x5',
    '٥',
    'five',
    '9007199254740993',
    5.5,
    true,
  ];
  for (const form of [...unclear, [5], ['5'], { value: 5 }]) {
    for (const response of [
      await allocate(form),
      await check({ ...use, prompt_count: form }),
      await server.as(device, 'POST', '/api/usage/log', { ...use, prompt_count: form }),
    ]) {
      t.match(response.json(), { code: 'VALIDATION_FAILED', error: /^(tokens|prompt_count) must be a/ });
      t.equal(response.statusCode, 400, JSON.stringify(form));
    }
  }
  t.equal((await check({ ...use, prompt_count: '-5' })).statusCode, 400);
  const strict = await admin.as('PUT', '/api/admin/budget', { total: '5' });
  t.equal(strict.statusCode, 400, 'our own routes stay strict');
  await server.verifyLedger(t);
});

t.test("contract 2's counters may come alone, or as text", async (t) => {
  const user = await registerUser(server);
  const token = await signUp(server, user.email);
  const track = (body: object) => sendWith(server, token, 'POST', '/api/trackUsage', body);
  t.match((await track({ usage: 1 })).json(), { currentPromptCount: 1, currentTokenCount: 0 });
  t.match((await track({ tokenCount: '20' })).json(), { currentPromptCount: 1, currentTokenCount: 20 });
  t.match((await track({ usage: ' 1', tokenCount: null, ...EXTRAS })).json(), { currentPromptCount: 2 });
  t.equal((await track({ usage: 1, event_id: '7' })).statusCode, 200, 'a key stays text');
  for (const body of [{}, { usage: null }, { usage: 'x' }, { usage: '-1' }, { usage: '1.5' }, [], ['1']]) {
    t.equal((await track(body)).statusCode, 400, JSON.stringify(body));
  }
  await server.verifyLedger(t);
});

t.test('what must be there is still asked for, and our own routes stay strict', async (t) => {
  const user = await registerUser(server);
  t.equal((await post('/api/auth/login', { email: user.email, password: null })).statusCode, 400);
  t.equal((await user.as('POST', '/api/users/me/api-keys', { name: 'Key', ...EXTRAS })).statusCode, 400);
  t.equal((await user.as('POST', '/api/events', { name: 'opened', ...EXTRAS })).statusCode, 400);
});

t.end();
