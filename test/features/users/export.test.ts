import { createApiKey, registerUser, sendWith } from '../../helpers/accounts.js';
import { PREFIXES } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { signUp } from '../../helpers/tracker.js';
import { hold, recordUses } from '../../helpers/usage.js';

const server = await openTestServer(t);
const { database } = server;

interface Event {
  readonly id: string;
  readonly occurred_at: string;
}
interface Export {
  readonly usage_events: readonly Event[];
  readonly [section: string]: unknown;
}

async function readExport(token: string): Promise<Export> {
  return (await sendWith(server, token, 'GET', '/api/users/me/export')).json<Export>();
}

t.test('it is a JSON file with everything that is held about a person', async (t) => {
  const ada = await registerUser(server, { name: 'Ada' });
  await createApiKey(ada, 'Nightly');
  await database.sql(
    `insert into private.external_identities (provider, subject, user_id, email) values ('google', 'g-1', $1, 'ada@example.org')`,
    [ada.id],
  );
  const login = { email: ada.email, password: ada.password };
  await server.app.inject({
    method: 'POST',
    url: '/api/auth/login',
    payload: login,
    headers: { 'user-agent': 'Tester' },
  });
  const laptop = { device_name: 'Laptop', hardware_fingerprint: ada.id };
  const { device_id: id, device_token } = (await ada.as('POST', '/api/devices/register', laptop)).json<{
    device_id: string;
    device_token: string;
  }>();
  await server.as({ id, token: device_token }, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
  const url = 'https://example.com/page';
  await recordUses(database, {
    subject: ada.id,
    user: ada.id,
    count: 2,
    cost: 4,
    source: 'chat',
    url,
    at: '2026-11-02',
  });
  await hold(database, ada.id, 11);
  await sendWith(server, await signUp(server, ada.email), 'POST', '/api/trackUsage', { usage: 2, tokenCount: 30 });
  await ada.as('PUT', '/api/users/me/settings', { settings: { theme: 'dark', size: 1 } });
  const changes = { size: { deleted: true, updated_at: Date.now() + 60_000 } };
  await ada.as('POST', '/api/sync/push', { base_version: 1, changes, device: 'laptop' });
  await ada.as('POST', '/api/events', { name: 'focus-mode.opened', properties: { minutes: 25 } });

  for (const prefix of PREFIXES) {
    const response = await ada.as('GET', `${prefix}/users/me/export`);
    t.equal(response.statusCode, 200);
    t.match(response.headers, {
      'content-type': 'application/json; charset=utf-8',
      'content-disposition': /^attachment; filename="[\w-]+\.json"$/,
      'cache-control': 'no-store',
    });
    const file = response.json<Export>();
    t.strictSame(Object.keys(file).sort(), [
      'api_keys',
      'balance',
      'devices',
      'exported_at',
      'feature_events',
      'generations',
      'identities',
      'known_addresses',
      'ledger_entries',
      'profile',
      'reservations',
      'sessions',
      'settings',
      'settings_versions',
      'subscription_grants',
      'subscriptions',
      'tracker',
      'usage_events',
    ]);
    t.match(file, {
      profile: { id: ada.id, email: ada.email, name: 'Ada', has_password: true, providers: ['google'] },
      identities: [{ provider: 'google', subject: 'g-1', email: 'ada@example.org' }],
      sessions: [{ address: '127.0.0.1' }, { address: '127.0.0.1', user_agent: 'Tester' }],
      api_keys: [{ name: 'Nightly', prefix: /^tlk_/ }],
      known_addresses: [{ address: '127.0.0.1' }],
      tracker: { prompts: 2, tokens: 30 },
      balance: { allocated: 1_000_000, used: 8, reserved: 11, remaining: 999_981 },
      devices: [{ id, name: 'Laptop', used: 1 }],
      ledger_entries: [{ kind: 'grant', amount: 1_000_000, actor: 'system' }],
      reservations: [{ amount: 11, status: 'held', model: 'gpt-5' }],
      usage_events: [
        { device_id: null, source: 'chat', cost: 4, url, occurred_at: '2026-11-02T00:00:00+00:00' },
        { device_id: null, source: 'chat', cost: 4, url },
        { device_id: id, source: 'device', cost: 1, url: null },
        { device_id: null, source: 'tracker', cost: 0, total_tokens: 30 },
      ],
      feature_events: [{ name: 'focus-mode.opened', properties: { minutes: 25 } }],
      settings: [
        { id: 'size', value: null, deleted: true, device: 'laptop', version: 2 },
        { id: 'theme', value: 'dark', deleted: false, device: '', version: 1 },
      ],
      settings_versions: [
        { id: '1', settings: { theme: 'dark', size: 1 }, action: 'put' },
        { id: '2', settings: { theme: 'dark' }, action: 'push', device: 'laptop' },
      ],
    });
  }
});

t.test('20,000 events are all in it, once, however many share a time', async (t) => {
  const [ada, bob] = [await registerUser(server), await registerUser(server)];
  const device = await server.registerDevice();
  await recordUses(database, {
    subject: ada.id,
    user: ada.id,
    count: 12_000,
    together: 12_000,
    at: '2026-10-31T23:59:59.9Z',
  });
  await recordUses(database, { subject: ada.id, user: ada.id, count: 5_000, together: 7, at: '2026-11-01' });
  await recordUses(database, { subject: device.id, user: ada.id, device: device.id, count: 3_000, at: '2026-11-01' });
  await recordUses(database, { subject: device.id, user: bob.id, device: device.id, count: 100, at: '2026-11-01' });
  await recordUses(database, { subject: bob.id, user: bob.id, count: 100, at: '2026-11-01' });
  const expected = await database.sql<{ id: string }>('select id from usage_events where user_id = $1 order by id', [
    ada.id,
  ]);
  t.equal(expected.length, 20_000);
  for (const token of [ada.token, await createApiKey(ada)]) {
    const { usage_events } = await readExport(token);
    t.strictSame(
      usage_events.map(({ id }) => id).sort(),
      expected.map(({ id }) => id),
    );
    const times = usage_events.map(({ occurred_at }) => occurred_at);
    t.strictSame(times, [...times].sort(), 'oldest first');
  }
  t.equal((await readExport(bob.token)).usage_events.length, 200);
  await server.verifyLedger(t);
});

t.test('lists of exactly a page, of none and of one more than a page are whole', async (t) => {
  for (const count of [1, 4_999, 5_000, 5_001, 10_000]) {
    const ada = await registerUser(server);
    await recordUses(database, { subject: ada.id, user: ada.id, count, at: '2026-11-01' });
    const { usage_events, reservations } = await readExport(ada.token);
    t.equal(new Set(usage_events.map(({ id }) => id)).size, count);
    t.equal(usage_events.length, count);
    t.strictSame(reservations, []);
  }
});

t.test('no secret and no hash is in it, nor the name of an admin', async (t) => {
  const ada = await registerUser(server, { password: 'canary of a password' });
  const key = await createApiKey(ada);
  await database.sql(
    `insert into ledger_entries (subject_id, kind, amount, period, actor) values ($1, 'grant', 1, 1, 'admin:canary')`,
    [ada.id],
  );
  await database.sql('update balances set allocated = allocated + 1 where subject_id = $1', [ada.id]);
  await database.sql(`update budgets set allocated = allocated + 1 where subject_kind = 'user'`);
  const { payload } = await ada.as('GET', '/api/users/me/export');
  const secrets = await database.sql<{ secret: string }>(
    `select password_hash as secret from private.user_credentials
     union all select encode(token_hash, 'hex') from private.refresh_tokens
     union all select encode(key_hash, 'hex') from private.api_keys
     union all select encode(fingerprint_hash, 'hex') from devices where fingerprint_hash is not null`,
  );
  t.ok(secrets.length >= 4);
  for (const secret of [ada.token, ada.refreshToken, key, 'canary', 'argon2', ...secrets.map(({ secret }) => secret)]) {
    t.notOk(payload.includes(secret), secret.slice(0, 12));
  }
  await server.verifyLedger(t);
});

t.test('what is wrong from the start is an error like any other, not a file', async (t) => {
  const ada = await registerUser(server);
  await ada.as('POST', '/api/auth/logout');
  const ended = await ada.as('GET', '/api/users/me/export');
  t.equal(ended.statusCode, 401);
  t.notOk(ended.headers['content-disposition']);
  t.match(ended.json(), { code: 'INVALID_TOKEN' });
  const head = await sendWith(server, ada.token, 'GET', '/api/users/me/export', undefined, { accept: '*/*' });
  t.equal(head.statusCode, 401);
  t.equal((await server.app.inject({ method: 'HEAD', url: '/api/users/me/export' })).statusCode, 405, 'no HEAD');
});

t.end();
