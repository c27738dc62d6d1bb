import { type Mood, openMoodyServer, QUICK_MOODS, SLOW_MOODS } from '../../helpers/fakes/fault-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { beginSignIn, REDIRECT_URI, readRedirect, returnToServer } from '../../helpers/sign-in.js';

const DISCOVERY = '/.well-known/openid-configuration';
const provider = await openMoodyServer(t, ({ url }, issuer) => {
  const endpoints = { authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token` };
  const answers: Record<string, object> = {
    [DISCOVERY]: { issuer, ...endpoints, jwks_uri: `${issuer}/jwks`, userinfo_endpoint: `${issuer}/userinfo` },
    '/login/oauth/access_token': { access_token: 'secret', token_type: 'bearer', scope: 'read:user,user:email' },
    '/user': { id: 1, login: 'ada', name: null, avatar_url: 'https://avatars.example.com/1' },
    '/user/emails': [{ email: 'ada@example.com', primary: true, verified: true }],
  };
  return answers[url.pathname];
});
const environment = {
  GOOGLE_ISSUER: provider.url,
  GOOGLE_CLIENT_ID: 'our-client',
  GOOGLE_CLIENT_SECRET: 'our-secret',
  GITHUB_BASE_URL: provider.url,
  GITHUB_API_URL: provider.url,
  GITHUB_CLIENT_ID: 'our-client',
  GITHUB_CLIENT_SECRET: 'our-secret',
  OAUTH_REDIRECT_URIS: REDIRECT_URI,
};
const server = await openTestServer(t, { environment });
const client = { redirect_uri: REDIRECT_URI, state: 'mine' };
const UNAVAILABLE = { error: 'temporarily_unavailable', state: 'mine' };

/** What a browser gets that comes back from a provider with a code, for a client or without one. */
async function backFrom(name: string, query: Readonly<Record<string, string>> = {}) {
  const { searchParams } = new URL(String((await beginSignIn(server, query, name)).headers.location));
  const answer = new URLSearchParams({ code: 'a-code', state: searchParams.get('state') ?? '' });
  return returnToServer(server, new URL(`http://x/api/auth/oauth/${name}/callback?${answer}`));
}

/** Asserts that nobody is logged in while a path of a provider is in that mood, and that everybody is told why. */
async function assertUnavailable(t: Test, name: string, path: string, mood: Mood): Promise<void> {
  provider.setMood(path, mood);
  const [browser, told] = await Promise.all([backFrom(name), backFrom(name, client)]);
  provider.setMood(path);
  t.equal(browser.statusCode, 503, `${path} ${mood}`);
  t.match(browser.json(), { code: 'SERVICE_UNAVAILABLE' });
  t.ok(browser.headers['retry-after']);
  t.equal(told.statusCode, 302);
  t.strictSame(Object.fromEntries(readRedirect(told)), UNAVAILABLE, 'the client is told, and given its state');
  t.strictSame(await server.database.sql('select 1 from users'), [], 'and there is no account');
}

const PATHS = [
  ['google', '/token'],
  ['github', '/login/oauth/access_token'],
  ['github', '/user'],
  ['github', '/user/emails'],
] as const;
for (const mood of QUICK_MOODS) {
  t.test(`a provider that ${mood} logs nobody in`, async (t) => {
    for (const [name, path] of PATHS) await assertUnavailable(t, name, path, mood);
    t.notOk(
      provider.requests.some(({ url }) => url.endsWith('/trap')),
      'no redirect was followed',
    );
  });
}
for (const mood of SLOW_MOODS) {
  t.test(`a provider that ${mood} is given up, and logs nobody in`, async (t) => {
    const slow = [PATHS[0], PATHS[2]].map(([name, path]) => assertUnavailable(t, name, path, mood));
    await Promise.all(slow);
  });
}

t.test('a sign-in cannot begin while Google cannot be asked where to; it can as soon as it answers', async (t) => {
  for (const mood of [...QUICK_MOODS, 'hangs'] as const) {
    const fresh = await openTestServer(t, { environment, database: server.database });
    provider.setMood(DISCOVERY, mood);
    const [browser, told] = await Promise.all([beginSignIn(fresh), beginSignIn(fresh, client)]);
    provider.setMood(DISCOVERY);
    t.equal(browser.statusCode, 503, mood);
    t.match(browser.json(), { code: 'SERVICE_UNAVAILABLE' });
    t.strictSame(Object.fromEntries(readRedirect(told)), UNAVAILABLE);
    t.equal((await beginSignIn(fresh)).statusCode, 302);
  }
});

t.test('what Google says of itself is asked for once', async (t) => {
  const fresh = await openTestServer(t, { environment, database: server.database });
  const asked = () => provider.requests.filter(({ url }) => url.endsWith(DISCOVERY)).length;
  const before = asked();
  await Promise.all(Array.from({ length: 10 }, () => beginSignIn(fresh)));
  await beginSignIn(fresh);
  t.equal(asked(), before + 1);
});

t.test('a Google that calls itself something else is none', async (t) => {
  const elsewhere = { ...environment, GOOGLE_ISSUER: provider.url.replace('127.0.0.1', 'localhost') };
  const fresh = await openTestServer(t, { environment: elsewhere, database: server.database });
  t.equal((await beginSignIn(fresh)).statusCode, 503);
});

t.test('a sign-in that cannot be remembered does not begin', async (t) => {
  await server.database.sql('alter table private.oauth_flows rename to gone');
  const [browser, told] = [await beginSignIn(server), await beginSignIn(server, client)];
  await server.database.sql('alter table private.gone rename to oauth_flows');
  t.equal(browser.statusCode, 503);
  t.strictSame(Object.fromEntries(readRedirect(told)), UNAVAILABLE);
});

t.test('what the provider says of a refusal is told in the words of OAuth', async (t) => {
  const words = { access_denied: 'access_denied', login_required: 'access_denied', server_error: UNAVAILABLE.error };
  for (const [error, word] of Object.entries({ ...words, temporarily_unavailable: UNAVAILABLE.error })) {
    for (const query of [{}, client]) {
      const { searchParams } = new URL(String((await beginSignIn(server, query)).headers.location));
      const back = new URLSearchParams({ error, error_description: 'x', state: searchParams.get('state') ?? '' });
      const response = await returnToServer(server, new URL(`http://x/api/auth/oauth/google/callback?${back}`));
      if ('state' in query) t.strictSame(Object.fromEntries(readRedirect(response)), { error: word, state: 'mine' });
      else t.equal(response.statusCode, word === 'access_denied' ? 401 : 503, error);
    }
  }
});

t.end();
