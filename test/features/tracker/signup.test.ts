import { registerUser } from '../../helpers/accounts.js';
import { openTestDatabase } from '../../helpers/db/test-database.js';
import { findFlaws, PREFIXES } from '../../helpers/http/bad-input.js';
import { openTestServer, type TestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { signUp } from '../../helpers/tracker.js';

const database = await openTestDatabase(t);

function post(server: TestServer, path: string, email: string, address = '192.0.2.1') {
  // Behind a trusted proxy, the address of a client is what the proxy says it is.
  const headers = { 'x-forwarded-for': address };
  return server.app.inject({ method: 'POST', url: path, headers, payload: { email } });
}

t.test('with EMAIL_ONLY_SIGNUP=off there is no such route, and tokens given out before still count', async (t) => {
  const environment = { JWT_SECRET: 'the same secret on both servers, 32 characters at least' };
  const open = await openTestServer(t, { database, environment });
  const user = await registerUser(open);
  const token = await signUp(open, user.email);
  const closed = await openTestServer(t, { database, environment: { ...environment, EMAIL_ONLY_SIGNUP: 'off' } });
  for (const prefix of PREFIXES) {
    const response = await post(closed, `${prefix}/signup`, user.email);
    t.equal(response.statusCode, 404);
    t.match(response.json(), { code: 'NOT_FOUND' });
  }
  const document = (await closed.app.inject({ url: '/openapi.json' })).json<{ paths: object }>();
  t.notOk('/api/signup' in document.paths, 'nor is it documented');
  t.ok('/api/trackUsage' in document.paths);
  const headers = { authorization: `Bearer ${token}` };
  const payload = { usage: 1, tokenCount: 1 };
  const tracked = await closed.app.inject({ method: 'POST', url: '/api/trackUsage', headers, payload });
  t.equal(tracked.statusCode, 200);
  await closed.verifyLedger(t);
});

t.test('one address signs up 60 times a minute over both prefixes, known and unknown accounts alike', async (t) => {
  const server = await openTestServer(t, { database, environment: { RATE_LIMIT: 'on' } });
  const user = await registerUser(server);
  const statuses: number[] = [];
  for (let n = 0; n < 60; n += 1) {
    const email = n % 3 === 0 ? user.email : `nobody-${n}@example.com`;
    statuses.push((await post(server, `${PREFIXES[n % 2] ?? ''}/signup`, email)).statusCode);
  }
  t.strictSame([...new Set(statuses)].sort(), [200, 404]);
  for (const prefix of PREFIXES) {
    const refused = await post(server, `${prefix}/signup`, user.email);
    t.equal(refused.statusCode, 429);
    t.strictSame(findFlaws(refused, '429'), []);
    t.match(refused.headers['retry-after'], /^[1-9]\d*$/);
  }
  t.equal((await post(server, '/signup', user.email, '192.0.2.2')).statusCode, 200, 'another address is not affected');
});

t.end();
