import { AnyResult } from '../../../src/platform/database/client/database.js';
import { createApiKey, registerUser, sendWith } from '../../helpers/accounts.js';
import { logInAsAdmin, type TestAdmin } from '../../helpers/admin.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { signUp } from '../../helpers/tracker.js';

const server = await openTestServer(t);
let admin: TestAdmin;
t.before(async () => {
  admin = await logInAsAdmin(server);
});

/** A person with an API key, a linked device and a tracker's token. */
async function createPerson() {
  const user = await registerUser(server);
  const key = await createApiKey(user);
  const fields = { device_name: 'Laptop', hardware_fingerprint: user.id };
  const registered = (await user.as('POST', '/api/devices/register', fields)).json<{
    device_id: string;
    device_token: string;
  }>();
  const device = { id: registered.device_id, token: registered.device_token };
  return { ...user, key, device, tracker: await signUp(server, user.email) };
}

t.test('a suspended account opens nothing on the very next request, nor do its key, device and tracker', async (t) => {
  const person = await createPerson();
  const url = `/api/admin/users/${person.id}`;
  const suspended = await admin.as('PATCH', url, { suspended: true });
  t.match(suspended.json(), { id: person.id, suspended_at: String, devices: 1, api_keys: 1, tier: 'free' });

  const refused = { statusCode: 403 };
  const code = { code: 'ACCOUNT_SUSPENDED' };
  const credentials = { email: person.email, password: person.password };
  const requests = {
    profile: person.as('GET', '/api/users/me'),
    'own reads': person.as('GET', '/api/users/me/balance'),
    'a key': sendWith(server, person.key, 'GET', '/api/users/me/balance'),
    settings: person.as('PUT', '/api/users/me/settings', { settings: { a: 1 } }),
    'a device': server.as(person.device, 'POST', '/api/usage/log', { model_type: 'gpt-5' }),
    "a device's balance": server.as(person.device, 'GET', `/api/devices/${person.device.id}/tokens`),
    'a tracker': sendWith(server, person.tracker, 'POST', '/api/trackUsage', { usage: 1, tokenCount: 1 }),
    'a log-in': server.app.inject({ method: 'POST', url: '/api/auth/login', payload: credentials }),
    'a refresh': server.app.inject({
      method: 'POST',
      url: '/api/auth/refresh',
      payload: { refresh_token: person.refreshToken },
    }),
    deletion: person.as('DELETE', '/api/users/me'),
  };
  for (const [name, request] of Object.entries(requests)) {
    const response = await request;
    t.match(response, refused, `${name}: ${response.payload}`);
    t.match(response.json(), code, name);
  }
  const use = { provider: 'openai', model: 'gpt-5', inputTokens: 1, outputTokens: 1, totalTokens: 2 };
  t.match((await person.as('POST', '/api/usage', { ...use, timestamp: Date.now() })).json(), code);

  t.match((await admin.as('PATCH', url, { suspended: false })).json(), { suspended_at: null });
  t.equal((await person.as('GET', '/api/users/me')).statusCode, 200);
  const log = await server.as(person.device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
  t.equal(log.statusCode, 200);
  await server.verifyLedger(t);
});

t.test('a chat request takes no hold for a suspended account, and one under way gets no more tokens', async (t) => {
  const { id } = await registerUser(server);
  const [row] = await server.database.sql<{ id: string }>('select id from private.sessions where user_id = $1', [id]);
  const meter = (item: Record<string, string | number>) =>
    server.backend.database.call('meter_chat', { p_items: [item] }, AnyResult);
  const caller = { id, session_id: row?.id ?? '' };
  const reserve = { op: 'reserve', ...caller, source: 'chat', model: 'm', input_estimate: 1, output_tokens: 10 };
  const hold = '00000000-0000-4000-8000-00000000000a';
  t.match(await meter({ ...reserve, hold }), [{ output_tokens: 10 }]);
  await admin.as('PATCH', `/api/admin/users/${id}`, { suspended: true });
  t.match(await meter({ op: 'extend', hold, output_tokens: 10 }), [{ output_tokens: 0 }]);
  const other = '00000000-0000-4000-8000-00000000000b';
  t.match(await meter({ ...reserve, hold: other }), [{ code: 'ACCOUNT_SUSPENDED' }]);
  const settle = { op: 'settle', hold, input_tokens: 1, output_tokens: 3, provenance: 'provider_final' };
  t.match(await meter(settle), [{ tokens_used: 4 }]);
  await server.verifyLedger(t);
});

t.test('sessions are ended, and keys where that is wished', async (t) => {
  const person = await createPerson();
  const end = (payload: object) => admin.as('POST', `/api/admin/users/${person.id}/end-sessions`, payload);
  t.strictSame((await end({})).json(), { ended: 1, api_keys: 0 });
  t.equal((await person.as('GET', '/api/users/me')).statusCode, 401);
  t.equal((await sendWith(server, person.key, 'GET', '/api/users/me')).statusCode, 200);
  t.strictSame((await end({ api_keys: true })).json(), { ended: 0, api_keys: 1 });
  t.equal((await sendWith(server, person.key, 'GET', '/api/users/me')).statusCode, 401);
});

t.test('one session and one key are ended, and the others go on', async (t) => {
  const person = await createPerson();
  const url = `/api/admin/users/${person.id}`;
  const kept = await createApiKey(person, 'Kept');
  const credentials = { email: person.email, password: person.password };
  const login = await server.app.inject({ method: 'POST', url: '/api/auth/login', payload: credentials });
  const other = login.json<{ token: string }>().token;
  type Listed = { sessions: { id: string; user_agent: string }[]; next_cursor: string | null };
  const newest = (await admin.as('GET', `${url}/sessions?limit=1`)).json<Listed>();
  const older = (await admin.as('GET', `${url}/sessions?limit=1&cursor=${newest.next_cursor}`)).json<Listed>();
  t.notSame(newest.sessions[0]?.id, older.sessions[0]?.id);
  t.match((await admin.as('DELETE', `${url}/sessions/${newest.sessions[0]?.id}`)).json(), { ended: 1 });
  t.equal((await sendWith(server, other, 'GET', '/api/users/me')).statusCode, 401);
  t.equal((await person.as('GET', '/api/users/me')).statusCode, 200);

  type Keys = { api_keys: { id: string; name: string }[] };
  const keys = (await admin.as('GET', `${url}/api-keys`)).json<Keys>().api_keys;
  const ended = keys.find(({ name }) => name !== 'Kept');
  t.match((await admin.as('DELETE', `${url}/api-keys/${ended?.id}`)).json(), { id: ended?.id, deleted: true });
  t.equal((await sendWith(server, person.key, 'GET', '/api/users/me/balance')).statusCode, 401);
  t.equal((await sendWith(server, kept, 'GET', '/api/users/me/balance')).statusCode, 200);

  const stranger = await createPerson();
  for (const [path, code] of [
    [`/sessions/${older.sessions[0]?.id}`, 'SESSION_NOT_FOUND'],
    [`/api-keys/${keys.find(({ name }) => name === 'Kept')?.id}`, 'API_KEY_NOT_FOUND'],
  ]) {
    t.match((await admin.as('DELETE', `/api/admin/users/${stranger.id}${path}`)).json(), { code }, 'not of another');
  }
  const viewer = await logInAsAdmin(server, 'vivian', 'viewer');
  t.match((await viewer.as('DELETE', `${url}/sessions/${older.sessions[0]?.id}`)).json(), {
    code: 'INSUFFICIENT_ROLE',
  });
  t.match((await admin.as('GET', `/api/admin/audit?target=user:${person.id}`)).json().entries, [
    { action: 'delete_api_key', actor: 'admin:root', before: { id: ended?.id } },
    { action: 'end_user_session', before: { session_id: newest.sessions[0]?.id } },
  ]);
});

t.test('an admin sees the devices, keys and ledger of an account, page by page, and no secret', async (t) => {
  const person = await createPerson();
  await admin.as('POST', '/api/admin/allocate', { user_id: person.id, tokens: 5 });
  const url = `/api/admin/users/${person.id}`;
  t.match((await admin.as('GET', `${url}/devices`)).json(), { devices: [{ id: person.device.id, remaining: 50 }] });
  const keys = await admin.as('GET', `${url}/api-keys`);
  t.match(keys.json(), { api_keys: [{ scopes: ['account'] }] });
  t.notMatch(keys.payload, person.key);
  const page = (await admin.as('GET', `${url}/ledger?limit=1`)).json<{ entries: object[]; next_cursor: string }>();
  t.match(page.entries, [{ amount: 5, actor: 'admin:root' }]);
  const rest = await admin.as('GET', `${url}/ledger?limit=1&cursor=${page.next_cursor}`);
  t.match(rest.json(), { entries: [{ amount: 1_000_000, actor: 'system:registration' }] });
  await server.verifyLedger(t);
});

t.test('a tier is given and taken back, but not where Stripe has a word', async (t) => {
  const user = await registerUser(server);
  const put = (tier: string) => admin.as('PUT', `/api/admin/users/${user.id}/plan`, { tier });
  t.match((await put('free')).json(), { tier: 'free' });
  t.match((await put('pro')).json(), { tier: 'pro' });
  t.match((await user.as('GET', '/api/subscriptions')).json(), { tier: 'pro' });
  t.match((await put('free')).json(), { tier: 'free' });
  t.match((await user.as('GET', '/api/subscriptions')).json(), { tier: 'free' });
  t.equal((await put('gold')).statusCode, 400);
  await server.database.sql(
    `update subscriptions set stripe_customer_id = 'cus_1', stripe_subscription_id = 'sub_1', tier = 'pro',
            current_period_start = now(), current_period_end = now(), started_at = now(), state_at = now()
      where user_id = $1`,
    [user.id],
  );
  t.match((await put('premium')).json(), { code: 'SUBSCRIPTION_RUNNING' });
  t.match((await admin.as('DELETE', `/api/admin/users/${user.id}`)).json(), { code: 'SUBSCRIPTION_RUNNING' });
  await server.verifyLedger(t);
});

t.test('an account is deleted, also a suspended one, and all of it is in the audit log', async (t) => {
  const person = await createPerson();
  const url = `/api/admin/users/${person.id}`;
  await admin.as('PATCH', url, { suspended: true });
  await admin.as('PUT', `${url}/plan`, { tier: 'premium' });
  t.strictSame((await admin.as('DELETE', url)).json(), { deleted: true });
  t.equal((await person.as('GET', '/api/users/me')).statusCode, 401);
  for (const path of ['', '/devices', '/api-keys', '/ledger']) {
    t.match((await admin.as('GET', url + path)).json(), { code: 'USER_NOT_FOUND' });
  }
  const { payload } = await admin.as('GET', `/api/admin/audit?target=user:${person.id}`);
  t.match(JSON.parse(payload), {
    entries: [
      { action: 'delete_user', actor: 'admin:root', address: '127.0.0.1' },
      { action: 'delete_account' },
      { action: 'set_plan', before: { tier: 'free' }, after: { tier: 'premium' } },
      { action: 'suspend_user', address: '127.0.0.1' },
    ],
  });
  t.notMatch(payload, person.email);
  await server.verifyLedger(t);
});

t.end();
