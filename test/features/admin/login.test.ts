import { randomBytes } from 'node:crypto';
import { AnyResult } from '../../../src/platform/database/client/database.js';
import { logInAsAdmin, PASSWORD } from '../../helpers/admin.js';
import { openTestServer, type TestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

let server: TestServer;
t.before(async () => {
  server = await openTestServer(t);
  await logInAsAdmin(server, 'root');
});
t.beforeEach(async () => {
  await server.database.sql('delete from private.login_attempts');
  await server.database.sql('delete from private.known_addresses');
});

function logIn(username: string, password: string, remoteAddress = '192.0.2.1') {
  return server.app.inject({
    method: 'POST',
    url: '/api/admin/login',
    payload: { username, password },
    remoteAddress,
  });
}

t.test('the right password gets a token for 12 hours that opens the admin API', async (t) => {
  const response = await logIn('root', PASSWORD);
  t.equal(response.statusCode, 200);
  const { token, expires_in } = response.json<{ token: string; expires_in: number }>();
  t.equal(expires_in, 43_200);
  const headers = { authorization: `Bearer ${token}` };
  t.equal((await server.app.inject({ url: '/admin/budget', headers })).statusCode, 200);
});

t.test('a wrong password and an unknown name get the same answer', async (t) => {
  const wrong = await logIn('root', 'wrong password');
  const unknown = await logIn('nobody', 'wrong password');
  t.equal(wrong.statusCode, 401);
  t.equal(unknown.statusCode, 401);
  t.strictSame(wrong.json(), unknown.json());
  t.match(wrong.json(), { code: 'INVALID_CREDENTIALS' });
});

t.test('an address that keeps guessing is told to wait before any hashing', async (t) => {
  const statuses: number[] = [];
  for (let n = 0; n < 25; n += 1) statuses.push((await logIn(`guess-${n}`, 'wrong password')).statusCode);
  t.strictSame(new Set(statuses.slice(0, 20)), new Set([401]));
  t.strictSame(new Set(statuses.slice(20)), new Set([429]));
  const refused = await logIn('root', PASSWORD);
  t.equal(refused.statusCode, 429, 'not even the right password helps from there');
  t.match(refused.json(), { code: 'RATE_LIMITED', retry_after: Number });
  t.equal((await logIn('root', PASSWORD, '192.0.2.2')).statusCode, 200, 'other addresses are not concerned');
});

t.test('addresses of one IPv6 network count as one', async (t) => {
  const statuses: number[] = [];
  for (let n = 1; n <= 21; n += 1) {
    statuses.push((await logIn(`guess-${n}`, 'wrong password', `2001:db8:1:2::${n}`)).statusCode);
  }
  t.equal(statuses.at(-1), 429);
  t.equal((await logIn('guess', 'wrong password', '2001:db8:1:3::1')).statusCode, 401);
});

t.test('strangers who guess from everywhere cannot lock out an admin at a known address', async (t) => {
  t.equal((await logIn('root', PASSWORD, '198.51.100.7')).statusCode, 200);
  const statuses: number[] = [];
  for (let n = 1; n <= 15; n += 1) statuses.push((await logIn('root', 'wrong password', `203.0.113.${n}`)).statusCode);
  t.ok(statuses.includes(429), 'the account is limited for strangers');
  t.equal((await logIn('root', PASSWORD, '198.51.100.7')).statusCode, 200, 'the admin gets in');
});

t.test('a new password ends every earlier token at once and returns a new one', async (t) => {
  const admin = await logInAsAdmin(server, 'changing');
  const second = (await logIn('changing', PASSWORD)).json<{ token: string }>().token;
  const wrong = await admin.as('POST', '/api/admin/password', { current_password: 'nope', new_password: 'longer one' });
  t.equal(wrong.statusCode, 401);
  t.equal((await admin.as('GET', '/api/admin/budget')).statusCode, 200, 'nothing changed');

  const fresh = randomBytes(12).toString('hex');
  const changed = await admin.as('POST', '/api/admin/password', { current_password: PASSWORD, new_password: fresh });
  t.equal(changed.statusCode, 200);
  for (const token of [admin.token, second]) {
    const response = await server.app.inject({
      url: '/api/admin/budget',
      headers: { authorization: `Bearer ${token}` },
    });
    t.match(response, { statusCode: 401 });
  }
  const { token } = changed.json<{ token: string }>();
  const response = await server.app.inject({ url: '/api/admin/budget', headers: { authorization: `Bearer ${token}` } });
  t.equal(response.statusCode, 200);
  t.equal((await logIn('changing', PASSWORD)).statusCode, 401);
  t.equal((await logIn('changing', fresh)).statusCode, 200);
});

t.test('of two password changes at once with one token, one wins', async (t) => {
  const admin = await logInAsAdmin(server, 'twice');
  const changes = await Promise.all(
    ['first password', 'second password'].map((new_password) =>
      admin.as('POST', '/api/admin/password', { current_password: PASSWORD, new_password }),
    ),
  );
  t.strictSame(changes.map(({ statusCode }) => statusCode).sort(), [200, 401]);
});

t.test("a removed admin's token dies at once, and the last admin cannot be removed", async (t) => {
  const admin = await logInAsAdmin(server, 'leaving');
  const command = (p_command: string, p_username: string) =>
    server.backend.database.call('manage_admin', { p_command, p_username }, AnyResult);
  t.match(await command('remove', 'leaving'), { changed: true });
  t.equal((await admin.as('GET', '/api/admin/dashboard')).statusCode, 401);

  for (const name of ['changing', 'twice']) await command('remove', name);
  await t.rejects(command('remove', 'root'), { message: 'LAST_OWNER' });
});

t.test('many concurrent log-ins are queued or told to come back, and never fail', async (t) => {
  const responses = await Promise.all(
    Array.from({ length: 150 }, (_, n) => logIn(`guess-${n}`, 'wrong password', `10.0.${n}.1`)),
  );
  const statuses = new Set(responses.map(({ statusCode }) => statusCode));
  t.ok(statuses.has(401));
  t.strictSame(
    [...statuses].filter((status) => status !== 401 && status !== 503),
    [],
  );
});
