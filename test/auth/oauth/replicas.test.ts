import { randomBytes } from 'node:crypto';
import { authenticate } from '../../helpers/fakes/google-tokens.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import {
  beginSignIn,
  CHALLENGE,
  exchangeCode,
  openGoogle,
  REDIRECT_URI,
  readRedirect,
  returnToServer,
  VERIFIER,
  visitProvider,
} from '../../helpers/sign-in.js';

const google = await openGoogle(t);
const JWT_SECRET = randomBytes(32).toString('base64url');
const environment = { ...google.environment, JWT_SECRET };
const first = await openTestServer(t, { environment });
const { database } = first;
const second = await openTestServer(t, { environment, database });
const third = await openTestServer(t, { environment, database });

t.test('a sign-in begins at one server, goes on at another and ends at a third', async (t) => {
  const start = await beginSignIn(first, { redirect_uri: REDIRECT_URI, code_challenge: CHALLENGE });
  const code = readRedirect(await returnToServer(second, await visitProvider(start))).get('code');
  const swapped = await exchangeCode(third, { code, code_verifier: VERIFIER });
  t.equal(swapped.statusCode, 200);
  t.match(swapped.json(), { user: { email: 'ada@example.com' } });
});

t.test('a server with another secret cannot go on with it', async (t) => {
  const { JWT_SECRET: _secret, ...without } = environment;
  const stranger = await openTestServer(t, { environment: without, database });
  const response = await returnToServer(stranger, await visitProvider(await beginSignIn(first)));
  t.notOk(response.statusCode < 400, 'its PKCE verifier is another');
});

t.test('all routes of a sign-in share one limit per address: 60 a minute', async (t) => {
  const limited = await openTestServer(t, { environment: { ...environment, RATE_LIMIT: 'on' }, database });
  const callback = new URL('http://x/api/auth/oauth/google/callback?state=x&code=x');
  const requests = [
    () => beginSignIn(limited),
    () => returnToServer(limited, callback),
    () => exchangeCode(limited, { code: 'x' }),
    () => authenticate(limited, 'not!a!token'),
  ];
  const statuses: (number | undefined)[] = [];
  for (let n = 0; n < 61; n += 1) statuses.push((await requests[n % requests.length]?.())?.statusCode);
  t.equal(statuses.indexOf(429), 60);
  for (const request of requests) t.equal((await request()).statusCode, 429);
});

t.end();
