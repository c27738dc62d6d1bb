import t from 'tap';
import { openTestDatabase } from '../../helpers/db/test-database.js';
import { openTestServer, type TestServer } from '../../helpers/http/test-server.js';

const database = await openTestDatabase(t);
const ANY = await openTestServer(t, { database });
const SOME = await openTestServer(t, {
  database,
  environment: { CORS_ORIGINS: 'https://one.example,https://two.example' },
});
const EXTENSION = 'chrome-extension://abcdefghijklmnopabcdefghijklmnop';

function preflight(server: TestServer, origin: string) {
  return server.app.inject({
    method: 'OPTIONS',
    url: '/api/usage/log',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type,idempotency-key',
    },
  });
}

/** One answer of each kind, refusals included: a page must be able to read why it was refused. */
function answers(server: TestServer, origin: string) {
  const headers = { origin };
  return Promise.all([
    server.app.inject({ url: '/', headers }),
    server.app.inject({ url: '/nowhere', headers }),
    server.app.inject({ method: 'POST', url: '/api/usage/log', headers }),
    server.app.inject({ method: 'POST', url: '/api/devices/register', payload: {}, headers }),
  ]);
}

t.test('any origin may call, with any of the headers the API knows, but never with credentials', async (t) => {
  for (const origin of ['https://anything.example', EXTENSION, 'null']) {
    const allowed = await preflight(ANY, origin);
    t.equal(allowed.statusCode, 204);
    t.equal(allowed.headers['access-control-allow-origin'], '*');
    t.match(allowed.headers['access-control-allow-methods'], /POST/);
    t.match(allowed.headers['access-control-allow-headers'], /authorization.*idempotency-key/);
    t.notOk('access-control-allow-credentials' in allowed.headers);
    for (const { headers } of await answers(ANY, origin)) {
      t.equal(headers['access-control-allow-origin'], '*');
      t.notOk('access-control-allow-credentials' in headers);
    }
  }
});

t.test('where origins are listed, those may call and no other', async (t) => {
  for (const origin of ['https://one.example', 'https://two.example']) {
    t.equal((await preflight(SOME, origin)).headers['access-control-allow-origin'], origin);
    for (const { headers } of await answers(SOME, origin)) {
      t.equal(headers['access-control-allow-origin'], origin);
      t.match(headers['vary'], /origin/i, 'caches keep origins apart');
      t.notOk('access-control-allow-credentials' in headers);
    }
  }
  for (const origin of ['https://evil.example', 'https://one.example.evil.example', 'http://one.example', 'null']) {
    for (const { headers } of [await preflight(SOME, origin), ...(await answers(SOME, origin))]) {
      t.notOk('access-control-allow-origin' in headers, origin);
      t.notOk('access-control-allow-credentials' in headers);
    }
  }
});

t.test('a preflight is remembered for two hours; an OPTIONS request that is none is answered alike', async (t) => {
  t.equal((await preflight(ANY, EXTENSION)).headers['access-control-max-age'], '7200');
  const bare = await ANY.app.inject({ method: 'OPTIONS', url: '/api/usage/log' });
  t.equal(bare.statusCode, 204);
  t.equal(bare.payload, '');
});

t.test('all extensions of a kind of browser may call where a pattern says so, and no other origin', async (t) => {
  const environment = { CORS_ORIGINS: 'moz-extension://*, https://one.example' };
  const server = await openTestServer(t, { database, environment });
  const firefox = 'moz-extension://1f0fa3a1-4b1c-4a2b-9f6e-0d2b8a1c9e77';
  for (const origin of [firefox, 'https://one.example']) {
    t.equal((await preflight(server, origin)).headers['access-control-allow-origin'], origin);
  }
  for (const origin of [
    EXTENSION,
    'moz-extension://',
    'https://moz-extension',
    `x-${firefox}`,
    'https://two.example',
  ]) {
    t.notOk('access-control-allow-origin' in (await preflight(server, origin)).headers, origin);
  }
});

t.end();
