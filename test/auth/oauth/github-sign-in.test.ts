import { createHash } from 'node:crypto';
import { openMoodyServer } from '../../helpers/fakes/fault-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import {
  beginSignIn,
  exchangeCode,
  REDIRECT_URI,
  readRedirect,
  returnToServer,
  signIn,
  visitProvider,
} from '../../helpers/sign-in.js';

interface Address {
  readonly email: string;
  readonly primary: boolean;
  readonly verified: boolean;
}
const ADDRESSES: readonly Address[] = [
  { email: 'old@example.com', primary: false, verified: true },
  { email: 'Ada@Example.com', primary: true, verified: true },
];
const PROFILE = { id: 583231, login: 'ada', name: 'Ada Lovelace', avatar_url: 'https://avatars.example.com/u/583231' };

let addresses = ADDRESSES;
let profile: object = PROFILE;
let refusal: object | undefined;
/** Authorisation requests by the code they were answered with. */
const granted = new Map<string, URLSearchParams>();
/** The last token request. */
let exchange = new URLSearchParams();

/** GitHub, as its documentation describes it: every answer about a code is a 200. */
const github = await openMoodyServer(t, ({ url, body, authorization }) => {
  switch (url.pathname) {
    case '/login/oauth/authorize': {
      const code = `code-${granted.size}`;
      granted.set(code, url.searchParams);
      const back = new URL(url.searchParams.get('redirect_uri') ?? '');
      back.search = new URLSearchParams({ code, state: url.searchParams.get('state') ?? '' }).toString();
      return { redirect: back.href };
    }
    case '/login/oauth/access_token': {
      exchange = new URLSearchParams(body);
      const asked = granted.get(exchange.get('code') ?? '');
      const challenge = createHash('sha256')
        .update(exchange.get('code_verifier') ?? '')
        .digest('base64url');
      if (refusal !== undefined) return refusal;
      if (asked?.get('code_challenge') !== challenge) return { error: 'bad_verification_code' };
      return { access_token: 'gho_token', token_type: 'bearer', scope: 'read:user,user:email' };
    }
    case '/api/v3/user':
      return authorization === 'Bearer gho_token' ? profile : { status: 401 };
    case '/api/v3/user/emails':
      return authorization === 'Bearer gho_token' ? addresses : { status: 401 };
    default:
      return undefined;
  }
});
const server = await openTestServer(t, {
  environment: {
    GITHUB_BASE_URL: `${github.url}/`,
    GITHUB_API_URL: `${github.url}/api/v3/`,
    GITHUB_CLIENT_ID: 'our-client',
    GITHUB_CLIENT_SECRET: 'our-secret',
    PUBLIC_URL: 'https://tokens.example.com',
    OAUTH_REDIRECT_URIS: REDIRECT_URI,
  },
});
const { sql } = server.database;
t.afterEach(() => {
  [addresses, profile, refusal] = [ADDRESSES, PROFILE, undefined];
});

t.test('a sign-in goes to GitHub with state and a PKCE challenge', async (t) => {
  const { origin, pathname, searchParams } = new URL(
    String((await beginSignIn(server, {}, 'github')).headers.location),
  );
  t.equal(`${origin}${pathname}`, `${github.url}/login/oauth/authorize`);
  t.match(Object.fromEntries(searchParams), {
    client_id: 'our-client',
    redirect_uri: 'https://tokens.example.com/api/auth/oauth/github/callback',
    scope: 'read:user user:email',
    state: /^[\w-]{43}$/,
    code_challenge: /^[\w-]{43}$/,
    code_challenge_method: 'S256',
  });
});

t.test('who comes back has the account of the verified primary address', async (t) => {
  const response = await signIn(server, {}, 'github');
  t.equal(response.statusCode, 200);
  t.match(response.json(), {
    token: /\./,
    user: { email: 'ada@example.com', name: 'Ada Lovelace', picture: PROFILE.avatar_url, total_tokens: 1_000_000 },
  });
  t.match(Object.fromEntries(exchange), {
    client_id: 'our-client',
    client_secret: 'our-secret',
    redirect_uri: 'https://tokens.example.com/api/auth/oauth/github/callback',
    code_verifier: /^[\w-]{43}$/,
  });
  t.match(await sql('select provider, subject, email from private.external_identities'), [
    { provider: 'github', subject: '583231', email: 'ada@example.com' },
  ]);
  const agent = github.requests.find(({ url }) => url.endsWith('/user'))?.headers['user-agent'];
  t.match(agent, /\S/, 'GitHub wants to know which program asks');
});

t.test('a client gets a code for the same account', async (t) => {
  const told = readRedirect(await signIn(server, { redirect_uri: REDIRECT_URI, state: 'mine' }, 'github'));
  t.equal(told.get('state'), 'mine');
  const swapped = await exchangeCode(server, { code: told.get('code') });
  t.match(swapped.json(), { user: { email: 'ada@example.com' } });
  t.equal((await sql('select 1 from users')).length, 1);
  await server.verifyLedger(t);
});

t.test('without a name the log-in name stands for it', async (t) => {
  profile = { ...PROFILE, id: 2, name: null, login: 'grace' };
  addresses = [{ email: 'grace@example.com', primary: true, verified: true }];
  t.match((await signIn(server, {}, 'github')).json(), { user: { name: 'grace' } });
});

t.test('without a verified primary address nobody is logged in', async (t) => {
  profile = { ...PROFILE, id: 3 };
  const lists: readonly (readonly Address[])[] = [
    [],
    [{ email: 'eve@example.com', primary: true, verified: false }],
    [{ email: 'eve@example.com', primary: false, verified: true }],
    [{ email: 'eve', primary: true, verified: true }],
  ];
  for (const list of lists) {
    addresses = list;
    const response = await signIn(server, {}, 'github');
    t.equal(response.statusCode, 401, JSON.stringify(list));
    const told = readRedirect(await signIn(server, { redirect_uri: REDIRECT_URI }, 'github'));
    t.strictSame(Object.fromEntries(told), { error: 'access_denied' });
  }
  t.strictSame(await sql(`select 1 from private.external_identities where subject = '3'`), []);
});

t.test('a code GitHub refuses logs nobody in; a secret it refuses is our own fault', async (t) => {
  refusal = { error: 'bad_verification_code', error_description: 'The code passed is incorrect or expired.' };
  t.equal((await signIn(server, {}, 'github')).statusCode, 401);
  for (const error of ['incorrect_client_credentials', 'redirect_uri_mismatch', 'unauthorized_client']) {
    refusal = { error };
    const response = await signIn(server, {}, 'github');
    t.equal(response.statusCode, 500, error);
    t.match(response.json(), { code: 'SIGN_IN_MISCONFIGURED' });
    t.equal(response.headers['retry-after'], undefined);
  }
});

t.test('so is one that it refuses with a challenge, unless that is about an access token', async (t) => {
  const [body, challenge] = [{ status: 401, error: 'invalid_client' }, 'Basic realm="oauth"'];
  for (const answer of [body, { ...body, challenge }, { status: 401, challenge: 'Bearer error="invalid_client"' }]) {
    refusal = answer;
    t.match((await signIn(server, {}, 'github')).json(), { code: 'SIGN_IN_MISCONFIGURED' }, JSON.stringify(answer));
  }
  refusal = { status: 401, challenge: 'Bearer error="invalid_token"' };
  t.match((await signIn(server, {}, 'github')).json(), { code: 'SERVICE_UNAVAILABLE' });
});

t.test('a code that was granted to another sign-in does not fit this one', async (t) => {
  const [mine, stolen] = [
    await visitProvider(await beginSignIn(server, {}, 'github')),
    await visitProvider(await beginSignIn(server, {}, 'github')),
  ];
  mine.searchParams.set('code', stolen.searchParams.get('code') ?? '');
  const response = await returnToServer(server, mine);
  t.equal(response.statusCode, 401);
});

t.test('an answer that says it is from another issuer is not GitHub’s (RFC 9207)', async (t) => {
  const [genuine, foreign] = [
    await visitProvider(await beginSignIn(server, {}, 'github')),
    await visitProvider(await beginSignIn(server, {}, 'github')),
  ];
  foreign.searchParams.set('iss', 'https://accounts.example.com');
  t.equal((await returnToServer(server, foreign)).statusCode, 503);
  genuine.searchParams.set('iss', `${github.url}/login/oauth`);
  t.equal((await returnToServer(server, genuine)).statusCode, 200);
});

t.end();
