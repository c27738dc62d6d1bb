import { API_KEY_SCOPES } from '../../../src/auth/api-keys/scopes.js';
import { AnyResult } from '../../../src/platform/database/client/database.js';
import { createApiKey, registerUser, sendWith, type TestUser } from '../../helpers/accounts.js';
import { atRoot, type DocumentedRoute, documentedRoutes } from '../../helpers/http/documented-routes.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);
const { sql } = server.database;
const routes = (await documentedRoutes(server)).filter(({ schemes }) => schemes.includes('userToken'));

interface Key {
  readonly id: string;
  readonly key: string;
  readonly scopes: readonly string[];
  readonly expires_at: string | null;
}

async function make(user: TestUser, fields: object = {}) {
  const response = await user.as('POST', '/api/users/me/api-keys', { name: 'Script', ...fields });
  return { status: response.statusCode, ...response.json<Key>() };
}

/** A request to a route that is answered in any case: a stream of events, which would not end, has a header that is no good. */
function toRequest({ request, isStream }: DocumentedRoute, key: string) {
  const spoilt = isStream && { 'last-event-id': 'x'.repeat(1_001) };
  return { ...request(), headers: { authorization: `Bearer ${key}`, ...spoilt } };
}

t.test('on every route a key does what its scope says and nothing else', async (t) => {
  t.ok(routes.length > 30, 'there are routes to try');
  const user = await registerUser(server);
  const lesser = API_KEY_SCOPES.filter((scope) => scope !== 'account');
  const keys = await Promise.all(
    lesser.map(async (scope) => ({ scope, key: await createApiKey(user, scope, [scope]) })),
  );
  for (const route of routes) {
    for (const { scope, key } of keys) {
      for (const request of [toRequest(route, key), atRoot(toRequest(route, key))]) {
        const response = await server.app.inject(request);
        const name = `${route.name} with ${scope}: ${response.payload.slice(0, 80)}`;
        if (scope === route.apiKeyScope) {
          t.not(response.statusCode, 401, name);
          t.not(response.statusCode, 403, name);
        } else {
          t.equal(response.statusCode, 403, name);
          t.match(response.payload, /INSUFFICIENT_SCOPE/i, name);
          t.match(response.payload, route.apiKeyScope ?? 'No API key', 'the sentence names the scope');
        }
      }
    }
  }
  t.equal((await user.as('GET', '/api/users/me')).statusCode, 200, 'the account is still there');
});

t.test('a key for the account opens every route that declares a scope, and none that declares none', async (t) => {
  for (const route of routes) {
    const key = await createApiKey(await registerUser(server), 'Script', ['account']);
    const { statusCode, payload } = await server.app.inject(toRequest(route, key));
    if (route.apiKeyScope === undefined) t.match({ statusCode, payload }, { statusCode: 403, payload: 'No API key' });
    // What cannot be undone needs a fresh proof, which no key gives.
    else if (statusCode === 403) t.match(payload, 'PROOF_REQUIRED', route.name);
    else t.not(statusCode, 401, `${route.name}: ${payload.slice(0, 80)}`);
  }
});

t.test('every scope opens something', async (t) => {
  const used = new Set(routes.map(({ apiKeyScope }) => apiKeyScope));
  for (const scope of API_KEY_SCOPES) t.ok(used.has(scope), scope);
});

t.test('the database decides the same, in the statement that acts', async (t) => {
  const user = await registerUser(server);
  const call = server.backend.database.call;
  const toCaller = async (scope: string) => {
    const { id } = await make(user, { scopes: [scope] });
    return { id: user.id, api_key_id: id };
  };
  const [writer, reader, chat, account] = await Promise.all(
    ['usage:write', 'usage:read', 'chat', 'account'].map(toCaller),
  );
  const refused = { message: 'INSUFFICIENT_SCOPE' };
  for (const p_caller of [writer, reader, chat]) {
    if (p_caller === undefined) throw new Error('no key');
    await t.rejects(call('delete_account', { p_caller }, AnyResult), refused);
    await t.rejects(call('list_api_keys', { p_caller }, AnyResult), refused);
    await t.rejects(call('put_settings', { p_caller, p_settings: {} }, AnyResult), refused);
    await t.rejects(server.backend.callerDatabase.call(p_caller, 'my_settings', {}, AnyResult), refused);
    await t.rejects(
      server.backend.callerDatabase.call(p_caller, 'export_ledger_entries', { p_limit: 1 }, AnyResult),
      refused,
    );
  }
  if (reader === undefined || account === undefined || chat === undefined) throw new Error('no key');
  const use = { provider: 'openai', model: 'gpt-5', input_tokens: 1, output_tokens: 1, total_tokens: 2 };
  const items = [reader, account].map((caller) => ({ ...caller, ...use, timestamp_ms: Date.now() }));
  t.match(await call('record_usage', { p_items: items, p_retention_months: 24 }, AnyResult), [
    { code: 'INSUFFICIENT_SCOPE' },
    { id: String },
  ]);
  const hold = { op: 'reserve', source: 'api', model: 'm', input_estimate: 1, output_tokens: 1 };
  const ids = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002'];
  const holds = [reader, chat].map((caller, n) => ({ ...hold, ...caller, hold: ids[n] }));
  t.match(await call('meter_chat', { p_items: holds }, AnyResult), [
    { code: 'INSUFFICIENT_SCOPE' },
    { output_tokens: 1 },
  ]);
  await t.resolves(server.backend.callerDatabase.call(reader, 'my_balance', {}, AnyResult));
  await t.rejects(server.backend.callerDatabase.call(chat, 'my_balance', {}, AnyResult), refused);
  await server.verifyLedger(t);
});

t.test('a key opens everything but the account and lasts a year, unless its maker says otherwise', async (t) => {
  const user = await registerUser(server);
  const daysLeft = ({ expires_at }: Key) =>
    expires_at === null ? null : (Date.parse(expires_at) - Date.now()) / 86_400_000;
  const plain = await make(user);
  t.strictSame(plain.scopes, ['usage:write', 'usage:read', 'chat', 'settings']);
  t.ok(Math.abs((daysLeft(plain) ?? 0) - 365) < 0.01);
  t.ok(Math.abs((daysLeft(await make(user, { expires_in_days: 7 })) ?? 0) - 7) < 0.01);
  const both = { expires_in_days: 7, expires_at: '2999-01-01T00:00:00Z' };
  t.ok(Math.abs((daysLeft(await make(user, both)) ?? 0) - 7) < 0.01, 'the earlier counts');
  t.equal((await make(user, { expires_in_days: null })).expires_at, null, 'never, by choice');
  t.match((await user.as('GET', '/api/users/me/api-keys')).json(), { api_keys: [{ scopes: plain.scopes }] });

  const wrong = [
    { expires_in_days: 0 },
    { expires_in_days: 3_651 },
    { expires_in_days: 1.5 },
    { scopes: [] },
    { scopes: ['chat', 'chat'] },
    { scopes: ['everything'] },
    { scopes: 'chat' },
    { scopes: null },
  ];
  for (const fields of wrong) t.equal((await make(user, fields)).status, 400, JSON.stringify(fields));
});

t.test('what a key makes ends with it at the latest', async (t) => {
  const user = await registerUser(server);
  const parent = await make(user, { scopes: ['account'], expires_in_days: 1 });
  for (const fields of [{ expires_in_days: null }, { expires_in_days: 30 }, {}]) {
    const payload = { name: 'Child', ...fields };
    const child = await sendWith(server, parent.key, 'POST', '/api/users/me/api-keys', payload);
    t.equal(child.json<Key>().expires_at, parent.expires_at);
  }
});

t.test('keys that were made before there were scopes open everything but the account', async (t) => {
  const user = await registerUser(server);
  await sql(
    `insert into private.api_keys (user_id, name, prefix, key_hash) values ($1, 'old', 'tlk_12345678', sha256('old'))`,
    [user.id],
  );
  const [row] = await sql<{ scopes: string[] }>('select scopes from private.api_keys where user_id = $1', [user.id]);
  t.strictSame(row?.scopes, ['usage:write', 'usage:read', 'chat', 'settings']);
});

t.test('a device is linked to an account by a key for the account only', async (t) => {
  const user = await registerUser(server);
  const device = { device_name: 'Laptop', hardware_fingerprint: 'laptop-of-a-key' };
  const chat = await createApiKey(user, 'Chat', ['chat']);
  const refused = await sendWith(server, chat, 'POST', '/api/devices/register', device);
  t.match(refused, { statusCode: 403 });
  t.match(refused.json(), { code: 'INSUFFICIENT_SCOPE', scope: 'account' });
  const account = await createApiKey(user, 'Account', ['account']);
  t.equal((await sendWith(server, account, 'POST', '/api/devices/register', device)).statusCode, 201);
});

t.test('a new password lists the keys that go on, and ends them where that is wished', async (t) => {
  const user = await registerUser(server);
  const key = await createApiKey(user, 'Nightly');
  const change = (current_password: string, new_password: string, fields = {}) =>
    user.as('POST', '/api/users/me/password', { current_password, new_password, ...fields });
  const kept = await change(user.password, 'another long password');
  t.match(kept.json(), { api_keys: [{ name: 'Nightly', scopes: ['account'] }] });
  t.notMatch(kept.payload, key);
  t.equal((await sendWith(server, key, 'GET', '/api/users/me')).statusCode, 200);

  const revoked = await change('another long password', 'and one more password', { revoke_api_keys: true });
  t.strictSame(revoked.json().api_keys, []);
  const lines = await sql<{ action: string }>(
    'select action, request_id, address from audit_log where target = $1 order by id',
    [`user:${user.id}`],
  );
  t.match(
    lines,
    ['create_api_key', 'set_password', 'set_password'].map((action) => ({ action, request_id: null, address: null })),
  );
  t.equal((await sendWith(server, key, 'GET', '/api/users/me')).statusCode, 401);
});

t.end();
