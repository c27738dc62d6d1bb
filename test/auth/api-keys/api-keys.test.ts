import { createHash, randomUUID } from 'node:crypto';
import { createApiKey as createKeyText, isApiKey } from '../../../src/auth/api-keys/api-key.js';
import { createApiKey, registerUser, sendWith } from '../../helpers/accounts.js';
import { accountLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);

interface Key {
  readonly id: string;
  readonly key: string;
  readonly prefix: string;
  readonly last_used_at: string | null;
}

t.test('a key is shown once, opens what an access token opens, and its digest is all that is kept', async (t) => {
  const user = await registerUser(server);
  const response = await user.as('POST', '/api/users/me/api-keys', {
    name: '  Nightly report ',
    scopes: ['account'],
    expires_in_days: null,
  });
  t.equal(response.statusCode, 201);
  const { key, prefix } = response.json<Key>();
  t.match(response.json(), { name: 'Nightly report', expires_at: null, last_used_at: null });
  t.match(key, /^tlk_[0-9a-z]{56}$/);
  t.ok(key.startsWith(prefix) && prefix.length === 12);

  const list = await sendWith(server, key, 'GET', '/api/users/me/api-keys');
  t.equal(list.statusCode, 200);
  t.match(list.json(), { api_keys: [{ prefix, last_used_at: /\+00:00$/ }] });
  t.notMatch(list.payload, key);
  t.equal((await sendWith(server, key, 'GET', '/auth/sessions')).statusCode, 200);

  const [row] = await server.database.sql<{ row: string; digest: string }>(
    `select k::text as row, encode(key_hash, 'hex') as digest from private.api_keys k where user_id = $1`,
    [user.id],
  );
  t.equal(row?.digest, createHash('sha256').update(key).digest('hex'));
  t.notMatch(row?.row, key.slice(12));
});

t.test('a deleted key is dead on the next request, also where it has just been used', async (t) => {
  const user = await registerUser(server);
  const stranger = await registerUser(server);
  const { id, key } = (await user.as('POST', '/api/users/me/api-keys', { name: 'a', scopes: ['account'] })).json<Key>();
  t.equal((await sendWith(server, key, 'GET', '/api/users/me/api-keys')).statusCode, 200);
  t.equal((await stranger.as('DELETE', `/api/users/me/api-keys/${id}`)).statusCode, 404, "another's is not there");
  t.strictSame((await user.as('DELETE', `/api/users/me/api-keys/${id}`)).json(), { id, deleted: true });
  t.equal((await sendWith(server, key, 'GET', '/api/users/me/api-keys')).statusCode, 401);
  t.match((await user.as('DELETE', `/api/users/me/api-keys/${id}`)).json(), { code: 'API_KEY_NOT_FOUND' });
  t.equal((await user.as('DELETE', '/api/users/me/api-keys/not-a-uuid')).statusCode, 400);
});

t.test('a key ends when it was told to, and none can be made that has ended already', async (t) => {
  const user = await registerUser(server);
  const make = (expires_at: unknown) =>
    user.as('POST', '/api/users/me/api-keys', { name: 'a', scopes: ['account'], expires_at });
  const { id, key } = (await make(new Date(Date.now() + 60_000).toISOString())).json<Key>();
  t.equal((await sendWith(server, key, 'GET', '/api/users/me/api-keys')).statusCode, 200);
  await server.database.sql('update private.api_keys set expires_at = now() where id = $1', [id]);
  t.equal((await sendWith(server, key, 'GET', '/api/users/me/api-keys')).statusCode, 401);
  const wrong = [
    '2020-01-01T00:00:00Z',
    '',
    'tomorrow',
    '2030-02-30T00:00:00Z',
    '2030-01-01',
    '0000-01-01T00:00:00Z',
    '2030-01-01T00:00:00+23:00',
    '9999-12-31T23:59:59-23:59',
    4_102_444_800,
    null,
  ];
  for (const expires_at of wrong) t.equal((await make(expires_at)).statusCode, 400, String(expires_at));
});

t.test('keys that were never made cost no look-up and open nothing', async (t) => {
  const user = await registerUser(server);
  const key = await createApiKey(user);
  t.ok(isApiKey(key));
  const flipped = `${key.slice(0, 20)}${key[20] === 'a' ? 'b' : 'a'}${key.slice(21)}`;
  for (const wrong of ['tlk_', `${key}x`, key.slice(0, -1), key.toUpperCase(), flipped]) {
    t.notOk(isApiKey(wrong), wrong.length.toString());
    t.equal((await sendWith(server, wrong, 'GET', '/api/users/me/api-keys')).statusCode, 401);
  }
  const unknown = createKeyText();
  t.ok(isApiKey(unknown));
  t.match((await sendWith(server, unknown, 'GET', '/api/users/me/api-keys')).json(), { code: 'INVALID_TOKEN' });
  const keys = Array.from({ length: 500 }, createKeyText);
  t.equal(new Set(keys).size, 500);
  t.ok(keys.every(isApiKey));
});

t.test('a person has 50 keys at most, however many are asked for at once', async (t) => {
  const user = await registerUser(server);
  const responses = await meetAtLock(server.database, accountLock(user.id, 3), () =>
    Promise.all(Array.from({ length: 60 }, () => user.as('POST', '/api/users/me/api-keys', { name: 'many' }))),
  );
  t.equal(responses.filter(({ statusCode }) => statusCode === 201).length, 50);
  const refused = responses.filter(({ statusCode }) => statusCode === 409);
  t.equal(refused.length, 10);
  t.match(refused[0]?.json(), { code: 'API_KEY_LIMIT', limit: 50 });
});

t.test('one person cannot bury what others did in the audit log: 100 lines an hour are theirs', async (t) => {
  const user = await registerUser(server);
  const statuses: number[] = [];
  for (let n = 0; n < 55; n += 1) {
    const made = await user.as('POST', '/api/users/me/api-keys', { name: 'Script' });
    const changed = await user.as('PUT', '/api/users/me/tracker', { enabled: n % 2 === 0 });
    statuses.push(made.statusCode, changed.statusCode);
    if (made.statusCode === 201) await user.as('DELETE', `/api/users/me/api-keys/${made.json<Key>().id}`);
  }
  t.strictSame(new Set(statuses.slice(0, 100)), new Set([200, 201]));
  t.strictSame(new Set(statuses.slice(100)), new Set([429]));
  const other = await registerUser(server);
  t.equal((await other.as('POST', '/api/users/me/api-keys', { name: 'Script' })).statusCode, 201);
});

t.test('a key of an account that is gone opens nothing', async (t) => {
  const user = await registerUser(server);
  const key = await createApiKey(user);
  t.equal((await sendWith(server, key, 'GET', '/api/users/me/api-keys')).statusCode, 200);
  await server.database.sql('delete from private.api_keys where user_id = $1', [user.id]);
  t.equal((await sendWith(server, key, 'POST', '/api/auth/logout', { all: true })).statusCode, 401);
  t.equal((await sendWith(server, key, 'DELETE', `/api/users/me/api-keys/${randomUUID()}`)).statusCode, 401);
  t.equal((await user.as('GET', '/api/auth/sessions')).statusCode, 200, 'and ended no session');
});

t.end();
