import { logInAsAdmin, PASSWORD } from '../../helpers/admin.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const server = await openTestServer(t);

interface Session {
  readonly id: string;
  readonly current: boolean;
}

const logIn = async (username: string, password = PASSWORD, remoteAddress = '192.0.2.1') =>
  server.app.inject({
    method: 'POST',
    url: '/api/admin/login',
    headers: { 'x-request-id': 'sign-in-of-a-test' },
    payload: { username, password },
    remoteAddress,
  });

const openBudget = async (token: string) =>
  (await server.app.inject({ url: '/api/admin/budget', headers: { authorization: `Bearer ${token}` } })).statusCode;

t.test('an admin logs out: this token is dead at once, others go on until all are ended', async (t) => {
  const admin = await logInAsAdmin(server, 'ada');
  const tokens = await Promise.all([1, 2, 3].map(async () => (await logIn('ada')).json<{ token: string }>().token));
  t.strictSame((await admin.as('POST', '/api/admin/logout')).json(), { ended: 1 });
  t.equal(await openBudget(admin.token), 401);
  for (const token of tokens) t.equal(await openBudget(token), 200);

  const [token = ''] = tokens;
  const send = (method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object) =>
    server.app.inject({ method, url, headers: { authorization: `Bearer ${token}` }, ...(payload && { payload }) });
  const sessions = (await send('GET', '/api/admin/sessions')).json<Session[]>();
  t.equal(sessions.length, 3);
  t.match(sessions[0], { address: '192.0.2.1', second_factor: false });
  t.equal(sessions.filter(({ current }) => current).length, 1);
  const other = sessions.find(({ current }) => !current)?.id;
  t.strictSame((await send('DELETE', `/api/admin/sessions/${other}`)).json(), { ended: 1 });
  t.match((await send('DELETE', `/api/admin/sessions/${other}`)).json(), { code: 'SESSION_NOT_FOUND' });
  t.equal((await Promise.all(tokens.map(openBudget))).filter((status) => status === 200).length, 2);
  t.strictSame((await send('POST', '/api/admin/logout', { all: true })).json(), { ended: 2 });
  for (const ended of tokens) t.equal(await openBudget(ended), 401);
});

t.test("nobody ends another's session, and one that is over opens nothing", async (t) => {
  const bob = await logInAsAdmin(server, 'bob');
  const eve = await logInAsAdmin(server, 'eve');
  const [session] = (await bob.as('GET', '/api/admin/sessions')).json<Session[]>();
  t.equal((await eve.as('DELETE', `/api/admin/sessions/${session?.id}`)).statusCode, 404);
  t.equal(await openBudget(bob.token), 200);
  await server.database.sql('update private.admin_sessions set expires_at = now() where id = $1', [session?.id]);
  t.equal(await openBudget(bob.token), 401);
});

t.test(
  'sign-ins and failed ones are in the audit log, with address and request id; unknown names are not',
  async (t) => {
    const admin = await logInAsAdmin(server, 'fay');
    await logIn('fay', 'wrong password', '198.51.100.1');
    await logIn('my-secret-typed-as-name', 'wrong password', '198.51.100.2');
    await logIn('fay', PASSWORD, '198.51.100.3');
    const { payload } = await admin.as('GET', '/api/admin/audit?limit=10');
    t.notMatch(payload, 'my-secret-typed-as-name');
    const { entries } = JSON.parse(payload);
    const request_id = 'sign-in-of-a-test';
    t.match(entries.slice(0, 3), [
      { action: 'sign_in', actor: 'admin:fay', target: 'admin:fay', address: '198.51.100.3', request_id },
      { action: 'fail_sign_in', actor: 'system:login', target: null, address: '198.51.100.2', request_id },
      { action: 'fail_sign_in', actor: 'system:login', target: 'admin:fay', address: '198.51.100.1', request_id },
    ]);
  },
);

t.test('whoever keeps trying one admin waits for that one alone', async (t) => {
  await logInAsAdmin(server, 'gil');
  await logInAsAdmin(server, 'hal');
  await server.database.sql('delete from private.login_attempts');
  const office = '203.0.113.5';
  const statuses: number[] = [];
  for (let n = 0; n < 11; n += 1) statuses.push((await logIn('gil', 'wrong password', office)).statusCode);
  t.equal(statuses.at(-1), 429);
  t.equal((await logIn('hal', PASSWORD, office)).statusCode, 200, 'a colleague behind the same address gets in');
  await server.database.sql(`delete from private.login_attempts where scope = 'admin:account'`);
  t.equal((await logIn('gil', PASSWORD, '203.0.113.6')).statusCode, 200, 'and the admin elsewhere, a minute later');
});

t.test('wrong current passwords are counted, too', async (t) => {
  const admin = await logInAsAdmin(server, 'ida');
  const change = () =>
    admin.as('POST', '/api/admin/password', { current_password: 'wrong password', new_password: 'another long one' });
  const statuses: number[] = [];
  for (let n = 0; n < 11; n += 1) statuses.push((await change()).statusCode);
  t.strictSame(statuses, [...Array.from({ length: 10 }, () => 401), 429]);
});

t.end();
