import { randomUUID } from 'node:crypto';
import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin, PASSWORD } from '../../helpers/admin.js';
import { openGoogleTokens } from '../../helpers/fakes/google-tokens.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const google = await openGoogleTokens(t);
const server = await openTestServer(t, {
  environment: { ...google.environment, OPENROUTER_API_KEY: 'key', RATE_LIMIT: 'on' },
});

function chat(access_token: string, address = '192.0.2.1') {
  const payload = { access_token, messages: [{ role: 'user', content: 'Hello' }] };
  const headers = { 'x-forwarded-for': address };
  return server.app.inject({ method: 'POST', url: '/api/chat/stream', headers, payload });
}

t.test('150 bad Google tokens of an address reach Google 30 times, whichever route they come by', async (t) => {
  const before = google.requests.length;
  const tokens = Array.from({ length: 150 }, () => `ya29.${randomUUID()}`);
  const answers = await Promise.all(tokens.map((token) => chat(token)));
  const count = (status: number) => answers.filter(({ statusCode }) => statusCode === status).length;
  t.strictSame([count(401), count(429)], [30, 120]);
  t.equal(google.requests.length - before, 30);
  const refused = answers.find(({ statusCode }) => statusCode === 429);
  t.match(refused?.json(), { code: 'RATE_LIMITED', limit: 'google-tokens' });
  t.match(refused?.headers['retry-after'], /^[1-9]\d*$/);
  const headers = { 'x-forwarded-for': '192.0.2.1' };
  const payload = { access_token: `ya29.${randomUUID()}` };
  const signIn = await server.app.inject({ method: 'POST', url: '/api/auth/google', headers, payload });
  t.equal(signIn.statusCode, 429, 'the act is limited, not the route');
  t.equal((await chat(`ya29.${randomUUID()}`, '192.0.2.2')).statusCode, 401, 'another address is not affected');
});

t.test('the same bad token asks Google once', async (t) => {
  const token = `ya29.${randomUUID()}`;
  for (let n = 0; n < 5; n += 1) t.equal((await chat(token, '192.0.2.3')).statusCode, 401);
  t.equal(google.requestCount(token), 1);
});

t.test('good tokens are not counted as bad ones', async (t) => {
  const payload = () => ({ access_token: google.issue() });
  const headers = { 'x-forwarded-for': '192.0.2.4' };
  for (let n = 0; n < 40; n += 1) {
    const answer = await server.app.inject({ method: 'POST', url: '/api/auth/google', headers, payload: payload() });
    t.equal(answer.statusCode, 200);
  }
});

t.test('10 wrong current passwords of an admin are tried, no more, also at once; others may go on', async (t) => {
  const [admin, other] = [await logInAsAdmin(server), await logInAsAdmin(server, 'other')];
  const attempt = (current_password: string, who = admin) =>
    who.as('POST', '/api/admin/password', { current_password, new_password: 'another long password' });
  const answers = await Promise.all(Array.from({ length: 15 }, () => attempt('wrong password')));
  const count = (status: number) => answers.filter(({ statusCode }) => statusCode === status).length;
  t.strictSame([count(401), count(429)], [10, 5]);
  t.equal((await attempt(PASSWORD)).statusCode, 429, 'the right one has to wait as well');
  t.equal((await attempt(PASSWORD, other)).statusCode, 200);
});

t.test('10 wrong current passwords of a person are tried, no more', async (t) => {
  const user = await registerUser(server);
  const statuses: number[] = [];
  for (let n = 0; n < 12; n += 1) {
    const passwords = { current_password: 'wrong password', new_password: 'another long password' };
    statuses.push((await user.as('POST', '/api/users/me/password', passwords)).statusCode);
  }
  t.strictSame([...new Set(statuses.slice(0, 10))], [401]);
  t.strictSame(statuses.slice(10), [429, 429]);
});

t.test('a crowd that registers from one network keeps nobody else from logging in', async (t) => {
  const user = await registerUser(server);
  const register = (n: number) =>
    server.app.inject({
      method: 'POST',
      url: '/api/auth/register',
      headers: { 'x-forwarded-for': `198.51.100.${n}` },
      payload: { email: `${randomUUID()}@example.com`, password: 'correct horse battery staple' },
    });
  const order: string[] = [];
  const crowd = Array.from({ length: 90 }, (_, n) => register(n).then(({ statusCode }) => order.push(`${statusCode}`)));
  const login = server.app.inject({
    method: 'POST',
    url: '/api/auth/login',
    headers: { 'x-forwarded-for': '203.0.113.1' },
    payload: { email: user.email, password: user.password },
  });
  const { statusCode } = await login.finally(() => order.push('log-in'));
  t.equal(statusCode, 200);
  const before = order.slice(0, order.indexOf('log-in')).filter((status) => status === '201').length;
  t.ok(before < 30, `the log-in was done after ${before} of the crowd`);
  await Promise.all(crowd);
  t.ok(order.includes('429'), 'a network that sends too many is told to wait');
  await server.verifyLedger(t);
});

t.end();
