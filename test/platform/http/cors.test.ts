import { createOpenRouter } from '@openrouter/ai-sdk-provider';
import { generateText } from 'ai';
import OpenAI from 'openai';
import { openTestDatabase } from '../../helpers/db/test-database.js';
import { openTestServer, type TestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';

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

/** Returns the names of the headers that a client sends, in the way it sends them in a browser. */
async function listHeaders(ask: (observe: typeof globalThis.fetch) => Promise<unknown>): Promise<string[]> {
  let names: string[] = [];
  await ask(async (_url, init) => {
    names = [...new Headers(init?.headers).keys()];
    return new Response('{}', { status: 400 });
  }).catch(() => {});
  return names;
}

t.test('pages may use the chat clients that add headers of their own', async (t) => {
  const baseURL = 'https://server.example/api/v1';
  const messages = [{ role: 'user' as const, content: 'Hello!' }];
  const clients = {
    openai: await listHeaders((fetch) =>
      new OpenAI({ baseURL, apiKey: 'tlk_x', fetch }).chat.completions.create({ model: 'a/b', messages }),
    ),
    openrouter: await listHeaders((fetch) => {
      const options = { baseURL, apiKey: 'tlk_x', appName: 'Page', appUrl: 'https://page.example', fetch };
      return generateText({ model: createOpenRouter(options).chat('a/b'), messages });
    }),
  };
  t.ok(clients.openai.includes('x-stainless-retry-count'));
  t.ok(clients.openrouter.includes('x-openrouter-title'));
  for (const names of Object.values(clients)) {
    const { statusCode, headers } = await ANY.app.inject({
      method: 'OPTIONS',
      url: '/api/v1/chat/completions',
      headers: {
        origin: EXTENSION,
        'access-control-request-method': 'POST',
        'access-control-request-headers': names.join(','),
      },
    });
    t.equal(statusCode, 204);
    const allowed = String(headers['access-control-allow-headers']).split(/, */);
    t.strictSame(
      names.filter((name) => !allowed.includes(name)),
      [],
    );
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
