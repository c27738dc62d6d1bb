import { createHash } from 'node:crypto';
import { sendWith } from '../../helpers/accounts.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import {
  ADA,
  beginSignIn,
  CHALLENGE,
  exchangeCode,
  obtainCode,
  openGoogle,
  REDIRECT_URI,
  returnToServer,
  signIn,
  VERIFIER,
  visitProvider,
} from '../../helpers/sign-in.js';

const google = await openGoogle(t);
const server = await openTestServer(t, { environment: google.environment });
const { sql } = server.database;

interface Session {
  readonly token: string;
  readonly refresh_token: string;
  readonly expires_in: number;
  readonly user: { readonly id: string; readonly email: string };
}

t.test(
  'a sign-in goes to Google with state, nonce and a PKCE challenge, and with our own callback address',
  async (t) => {
    const response = await server.app.inject({ url: '/api/auth/oauth/google', headers: { host: 'evil.example.com' } });
    t.equal(response.statusCode, 302);
    t.equal(response.headers['cache-control'], 'no-store');
    t.equal(response.headers['referrer-policy'], 'no-referrer');
    const { origin, pathname, searchParams } = new URL(String(response.headers.location));
    t.equal(`${origin}${pathname}`, `${google.environment['GOOGLE_ISSUER']}/authorize`);
    t.match(Object.fromEntries(searchParams), {
      client_id: google.environment['GOOGLE_CLIENT_ID'],
      redirect_uri: 'https://tokens.example.com/api/auth/oauth/google/callback',
      response_type: 'code',
      scope: 'openid email profile',
      state: /^[\w-]{43}$/,
      nonce: /^[\w-]{43}$/,
      code_challenge: /^[\w-]{43}$/,
      code_challenge_method: 'S256',
    });
    const again = new URL(String((await beginSignIn(server)).headers.location)).searchParams;
    for (const name of ['state', 'nonce', 'code_challenge']) t.not(again.get(name), searchParams.get(name), name);
  },
);

t.test('without a client the browser is logged in itself', async (t) => {
  const response = await signIn(server);
  t.equal(response.statusCode, 200);
  t.equal(response.headers['cache-control'], 'no-store');
  t.equal(response.headers['referrer-policy'], 'no-referrer');
  const session = response.json<Session>();
  t.match(session, { token: /\./, refresh_token: /\S/, expires_in: 604_800 });
  t.match(session.user, { email: 'ada@example.com', name: ADA.name, picture: ADA.picture, tokens_left: 1_000_000 });
  t.equal((await sendWith(server, session.token, 'GET', '/api/auth/sessions')).statusCode, 200);
  const refresh = { refresh_token: session.refresh_token };
  const refreshed = await server.app.inject({ method: 'POST', url: '/api/auth/refresh', payload: refresh });
  t.equal(refreshed.statusCode, 200, 'it is a session like any other');
});

t.test('a client is sent a code and its own state, and swaps the code for the same account', async (t) => {
  const query = { redirect_uri: REDIRECT_URI, state: 'client state/&=', code_challenge: CHALLENGE };
  const response = await signIn(server, query);
  t.equal(response.statusCode, 302);
  t.equal(response.headers['cache-control'], 'no-store');
  t.equal(response.headers['referrer-policy'], 'no-referrer');
  const address = new URL(String(response.headers.location));
  t.equal(`${address.origin}${address.pathname}`, REDIRECT_URI);
  t.strictSame([...address.searchParams.keys()].sort(), ['code', 'state'], 'no token is in the address');
  t.equal(address.searchParams.get('state'), query.state);
  const code = address.searchParams.get('code');
  t.match(code, /^[\w-]{43}$/);
  const swapped = await exchangeCode(server, { code, code_verifier: VERIFIER, redirect_uri: REDIRECT_URI });
  t.equal(swapped.statusCode, 200);
  t.equal(swapped.headers['cache-control'], 'no-store');
  t.match(swapped.json(), { token: /\./, refresh_token: /\S/, user: { email: 'ada@example.com' } });
  const users = await sql('select 1 from users');
  t.equal(users.length, 1, 'one person, one account');
});

t.test('the root serves the same, and the callback stays the one registered with Google', async (t) => {
  const start = await server.app.inject({ url: '/auth/oauth/google?code_challenge_method=S256' });
  const back = await visitProvider(start);
  t.equal(back.pathname, '/api/auth/oauth/google/callback');
  const response = await server.app.inject({ url: `/auth/oauth/google/callback${back.search}` });
  t.equal(response.statusCode, 200);
});

t.test('a state is good for one answer', async (t) => {
  const back = await visitProvider(await beginSignIn(server));
  t.equal((await returnToServer(server, back)).statusCode, 200);
  const again = await returnToServer(server, back);
  t.equal(again.statusCode, 400);
  t.match(again.json(), { code: 'INVALID_GRANT' });
});

t.test('an unknown, an expired and another provider’s state are refused', async (t) => {
  const back = await visitProvider(await beginSignIn(server));
  const known = back.searchParams.get('state') ?? '';
  for (const state of ['x', `${known}x`, known.toUpperCase()]) {
    back.searchParams.set('state', state);
    t.match((await returnToServer(server, back)).json(), { code: 'INVALID_GRANT' }, state);
  }
  back.searchParams.set('state', known);
  const hash = createHash('sha256').update(known).digest();
  await sql(`update private.oauth_flows set provider = 'github' where state_hash = $1`, [hash]);
  t.match((await returnToServer(server, back)).json(), { code: 'INVALID_GRANT' });
  await sql(`update private.oauth_flows set provider = 'google', expires_at = now() where state_hash = $1`, [hash]);
  t.match((await returnToServer(server, back)).json(), { code: 'INVALID_GRANT' });
  await sql(`update private.oauth_flows set expires_at = now() + interval '1 second' where state_hash = $1`, [hash]);
  t.equal((await returnToServer(server, back)).statusCode, 200, 'nothing else was wrong with it');
});

t.test('a HEAD request, as link scanners send it, uses nothing up', async (t) => {
  const back = await visitProvider(await beginSignIn(server));
  const head = await server.app.inject({ method: 'HEAD', url: `${back.pathname}${back.search}` });
  t.equal(head.statusCode, 405);
  t.equal((await returnToServer(server, back)).statusCode, 200);
});

t.test('parameters a provider adds are ignored, a doubled one is refused', async (t) => {
  const back = await visitProvider(await beginSignIn(server));
  back.searchParams.set('scope', 'openid email');
  back.searchParams.set('authuser', '0');
  back.searchParams.set('prompt', 'consent');
  t.equal((await returnToServer(server, back)).statusCode, 200);
  for (const name of ['state', 'code']) {
    const doubled = await visitProvider(await beginSignIn(server));
    doubled.searchParams.append(name, doubled.searchParams.get(name) ?? '');
    t.equal((await returnToServer(server, doubled)).statusCode, 400, `two of ${name}`);
    doubled.searchParams.delete(name);
    t.equal((await returnToServer(server, doubled)).statusCode, 400, `no ${name}`);
  }
});

t.test('states and codes are in the database as hashes only', async (t) => {
  const state = String((await visitProvider(await beginSignIn(server))).searchParams.get('state'));
  const code = await obtainCode(server, { code_challenge: CHALLENGE });
  const rows = await sql<{ text: string }>(
    'select f::text as text from private.oauth_flows f union all select c::text from private.oauth_codes c',
  );
  const kept = rows.map(({ text }) => text).join();
  for (const secret of [state, code]) {
    t.match(kept, createHash('sha256').update(secret).digest('hex'));
    t.notOk(kept.includes(secret) || kept.includes(Buffer.from(secret).toString('hex')));
  }
  await server.verifyLedger(t);
});

t.test('only known providers have an address, and only those set up answer', async (t) => {
  for (const path of ['/api/auth/oauth/facebook', '/api/auth/oauth/__proto__', '/api/auth/oauth/token']) {
    const response = await server.app.inject({ url: path });
    t.equal(response.statusCode, 404, path);
    t.match(response.json(), { code: 'NOT_FOUND' });
  }
  const github = await beginSignIn(server, {}, 'github');
  t.equal(github.statusCode, 503);
  t.match(github.json(), { code: 'GITHUB_DISABLED' });
});

t.test('a redirect_uri that is not on the list never sees a browser', async (t) => {
  for (const redirect_uri of ['https://evil.com/', 'https://abcdefghijklmnop.chromiumapp.org.evil.com/']) {
    const response = await beginSignIn(server, { redirect_uri });
    t.equal(response.statusCode, 400);
    t.match(response.json(), { code: 'REDIRECT_NOT_ALLOWED' });
    t.notOk(response.headers.location);
  }
  const bad = { state: ['', 'x'.repeat(513), 'a\u0000b', 'ü'], code_challenge: ['', 'short', `${CHALLENGE}=`] };
  for (const [name, values] of Object.entries(bad)) {
    for (const value of values) {
      t.match((await beginSignIn(server, { [name]: value })).json(), { code: 'VALIDATION_FAILED' }, `${name} ${value}`);
    }
  }
  t.equal((await beginSignIn(server, { code_challenge: CHALLENGE, code_challenge_method: 'plain' })).statusCode, 400);
});

t.test('what a client adds to the beginning of a sign-in is ignored', async (t) => {
  const start = await server.app.inject({ url: '/auth/oauth/google?response_type=code&client_id=x&prompt=consent' });
  t.equal(start.statusCode, 302);
  const vscode = await openTestServer(t, {
    environment: { ...google.environment, OAUTH_REDIRECT_URIS: 'vscode://publisher.extension/signed-in' },
  });
  const redirect_uri = encodeURIComponent('vscode://publisher.extension/signed-in?windowId=1');
  const editor = await vscode.app.inject({ url: `/auth/oauth/google?redirect_uri=${redirect_uri}` });
  t.equal(editor.statusCode, 302, 'an editor may name its window');
});

t.end();
