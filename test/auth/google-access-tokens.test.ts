import { QUICK_MOODS, SLOW_MOODS } from '../helpers/fakes/fault-server.js';
import { authenticate, CLIENT_ID, openGoogleTokens } from '../helpers/fakes/google-tokens.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t, { type Test } from '../helpers/run/tap.js';
import { until } from '../helpers/until.js';

const google = await openGoogleTokens(t);
const server = await openTestServer(t, { environment: google.environment });
const { sql } = server.database;

const count = async () => (await sql('select 1 from users')).length;

async function assertRefused(t: Test, token: string, label: string): Promise<void> {
  const before = await count();
  const response = await authenticate(server, token);
  t.equal(response.statusCode, 401, label);
  t.match(response.json(), { code: 'INVALID_ACCESS_TOKEN', detail: 'Invalid access token' });
  t.equal(await count(), before, 'no account was made');
}

t.test("contract 4's request gets contract 4's body", async (t) => {
  const token = google.issue({ email: 'User@Gmail.com' });
  const response = await authenticate(server, token);
  t.equal(response.statusCode, 200);
  const body = response.json<{ id: string }>();
  t.strictSame(body, {
    id: body.id,
    email: 'user@gmail.com',
    name: 'John Doe',
    picture: 'https://lh3.googleusercontent.com/a',
    total_tokens: 1_000_000,
    tokens_used: 0,
    tokens_left: 1_000_000,
  });
  t.strictSame(Object.keys(body), ['id', 'email', 'name', 'picture', 'total_tokens', 'tokens_used', 'tokens_left']);
  const again = await server.app.inject({
    method: 'POST',
    url: '/auth/google',
    headers: { 'content-type': 'application/json' },
    payload: JSON.stringify({ access_token: google.issue({ email: 'user@gmail.com', sub: 'another' }) }),
  });
  t.equal(again.statusCode, 401, 'another person with the same address is not this one');
  await server.verifyLedger(t);
});

t.test('the token goes to Google in the header and the form, never in an address', async (t) => {
  const token = google.issue();
  await authenticate(server, token);
  const asked = google.requests.filter(({ headers }) => headers.authorization === `Bearer ${token}`);
  t.match(asked, [
    { method: 'POST', url: `${google.url}/tokeninfo` },
    { method: 'GET', url: `${google.url}/userinfo` },
  ]);
  t.notOk(google.requests.some(({ url }) => url.includes('ya29')));
});

t.test('a token is good where it was issued to us or for us', async (t) => {
  for (const info of [{ azp: 'another-client' }, { aud: 'another-client' }, { azp: undefined }, { aud: undefined }]) {
    t.equal((await authenticate(server, google.issue(info))).statusCode, 200, JSON.stringify(info));
  }
  const plain = google.issue({ expires_in: 3_599, email_verified: true });
  t.equal((await authenticate(server, plain)).statusCode, 200, 'numbers and booleans are understood too');
});

t.test('a token is good for any of several clients', async (t) => {
  const ids = ['chrome.apps.googleusercontent.com', 'firefox.apps.googleusercontent.com'];
  const environment = { ...google.environment, GOOGLE_CLIENT_ID: ` ${ids[0]},, ${ids[1]} ` };
  const several = await openTestServer(t, { environment });
  for (const id of ids) {
    t.equal((await authenticate(several, google.issue({ aud: id, azp: id }))).statusCode, 200, id);
  }
  for (const id of [CLIENT_ID, ids.join(','), ' ', '']) {
    t.equal((await authenticate(several, google.issue({ aud: id, azp: id }))).statusCode, 401, id);
  }
  await several.verifyLedger(t);
});

t.test('a token that is not good is refused', async (t) => {
  const bad: Readonly<Record<string, object>> = {
    'issued to another client': { aud: 'another-client', azp: 'another-client' },
    'issued to a client whose name begins like ours': { aud: `${CLIENT_ID}.evil.com`, azp: `${CLIENT_ID}.evil.com` },
    'issued to nobody': { aud: undefined, azp: undefined },
    expired: { expires_in: '0' },
    'expired long ago': { expires_in: '-5' },
    'of an address Google did not verify': { email_verified: 'false' },
    'of an address that is not said to be verified': { email_verified: undefined },
    'without an address': { email: undefined },
    'with an address that is none': { email: 'nobody' },
    'without a subject': { sub: undefined },
  };
  for (const [what, info] of Object.entries(bad)) await assertRefused(t, google.issue({ ...info }), what);
  await assertRefused(t, google.issue({}, { sub: 'somebody else' }), 'whose profile is somebody else’s');
  for (const token of ['ya29.unknown', 'ya29.a0AfB_byC...', 'no token', 'ü', 'a\r\nhost: evil', ' ']) {
    await assertRefused(t, token, JSON.stringify(token));
  }
});

t.test('what is no request is told so', async (t) => {
  for (const payload of [{}, { access_token: '' }, { access_token: 1 }, { access_token: 'x'.repeat(4_097) }, []]) {
    const response = await server.app.inject({ method: 'POST', url: '/api/auth/google', payload });
    t.equal(response.statusCode, 400);
  }
});

for (const path of ['/tokeninfo', '/userinfo']) {
  t.test(`nobody is logged in while Google’s ${path} is not well`, async (t) => {
    const before = await count();
    for (const mood of QUICK_MOODS) {
      google.setMood(path, mood);
      const response = await authenticate(server, google.issue());
      t.equal(response.statusCode, 503, mood);
      t.match(response.json(), { code: 'SERVICE_UNAVAILABLE' });
    }
    google.setMood(path);
    t.equal(await count(), before);
    t.notOk(google.requests.some(({ url }) => url.endsWith('/trap')));
  });
}

t.test('nobody is logged in while Google keeps us waiting', async (t) => {
  const before = await count();
  for (const mood of SLOW_MOODS) {
    google.setMood('/userinfo', mood);
    t.equal((await authenticate(server, google.issue())).statusCode, 503, mood);
  }
  google.setMood('/userinfo');
  t.equal(await count(), before);
});

t.test('a good token is asked about once, however many bring it', async (t) => {
  const token = google.issue();
  const responses = await Promise.all(Array.from({ length: 20 }, () => authenticate(server, token)));
  t.ok(responses.every(({ statusCode }) => statusCode === 200));
  t.equal(new Set(responses.map((response) => response.json().id)).size, 1);
  t.equal((await authenticate(server, token)).statusCode, 200);
  t.equal(google.requestCount(token), 1);
});

t.test('a token is believed no longer than it lasts', async (t) => {
  const token = google.issue({ expires_in: '1' });
  t.equal((await authenticate(server, token)).statusCode, 200);
  await until('Google is asked again', async () => {
    await authenticate(server, token);
    return google.requestCount(token) > 1 || undefined;
  });
});

t.test('a refusal is remembered for a while, a failure is not', async (t) => {
  const foreign = google.issue({ aud: 'another', azp: 'another' });
  await assertRefused(t, foreign, 'once');
  await assertRefused(t, foreign, 'twice');
  t.equal(google.requestCount(foreign), 1);
  const token = google.issue();
  google.setMood('/tokeninfo', '500');
  t.equal((await authenticate(server, token)).statusCode, 503);
  google.setMood('/tokeninfo');
  t.equal((await authenticate(server, token)).statusCode, 200);
});

t.test('without a client id it is off; the secret is not needed', async (t) => {
  const { GOOGLE_CLIENT_ID: _id, ...environment } = google.environment;
  const off = await openTestServer(t, { environment, database: server.database });
  const response = await authenticate(off, google.issue());
  t.equal(response.statusCode, 503);
  t.match(response.json(), { code: 'GOOGLE_DISABLED' });
  t.equal(response.headers['retry-after'], undefined, 'waiting does not help');
  const flow = await server.app.inject({ url: '/api/auth/oauth/google' });
  t.match(flow.json(), { code: 'GOOGLE_DISABLED' }, 'which the sign-in through this server does need');
});

t.end();
