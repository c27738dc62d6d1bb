import { registerUser } from '../../helpers/accounts.js';
import { openTestDatabase } from '../../helpers/db/test-database.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

const database = await openTestDatabase(t);
const server = await openTestServer(t, { database });

t.test('no answer of the API is kept by caches or guessed at by browsers, refusals included', async (t) => {
  const user = await registerUser(server);
  const answers = [
    await user.as('GET', '/api/users/me'),
    await user.as('GET', '/users/me/export'),
    await server.app.inject({ url: '/api/users/me' }),
    await server.app.inject({ url: '/nowhere' }),
    await server.app.inject({ method: 'POST', url: '/api/auth/login', payload: {} }),
  ];
  for (const { headers, statusCode } of answers) {
    t.equal(headers['x-content-type-options'], 'nosniff', `${statusCode}`);
    t.equal(headers['cache-control'], 'no-store', `${statusCode}`);
    t.notOk('strict-transport-security' in headers, 'plain http promises nothing');
  }
  const page = await server.app.inject({ url: '/openapi.json' });
  t.equal(page.headers['x-content-type-options'], 'nosniff');
});

t.test('behind HTTPS browsers are told to stay there', async (t) => {
  const HSTS = /^max-age=[1-9]\d{6,}$/;
  const forwarded = await server.app.inject({ url: '/api/users/me', headers: { 'x-forwarded-proto': 'https' } });
  t.match(forwarded.headers['strict-transport-security'], HSTS, 'a trusted proxy says so');
  const stranger = await server.app.inject({
    url: '/healthz',
    remoteAddress: '192.0.2.1',
    headers: { 'x-forwarded-proto': 'https' },
  });
  t.notOk('strict-transport-security' in stranger.headers, 'anybody may say so');
  const open = await openTestServer(t, { database, environment: { PUBLIC_URL: 'https://tokens.example.com' } });
  t.match((await open.app.inject({ url: '/healthz' })).headers['strict-transport-security'], HSTS);
});

t.end();
