import { openChatServer, parseTokenUpdate, QUESTION } from '../../helpers/chat.js';
import { authenticate, openGoogleTokens } from '../../helpers/fakes/google-tokens.js';
import t from '../../helpers/run/tap.js';

const google = await openGoogleTokens(t);
const server = await openChatServer(t, { environment: { ...google.environment, DEFAULT_USER_TOKENS: '1000' } });
const ask = (body: object, headers = {}) =>
  server.app.inject({ method: 'POST', url: '/api/chat/stream', payload: { ...QUESTION, ...body }, headers });

t.test("a Google access token in the body pays from its owner's balance, made the first time", async (t) => {
  const access_token = google.issue();
  const first = await ask({ access_token });
  t.equal(first.statusCode, 200, first.payload);
  t.strictSame(parseTokenUpdate(first.payload), { type: 'token_update', tokens_left: 980, tokens_used: 20 });
  t.match((await ask({ access_token, stream: false })).json(), { tokens_left: 960, tokens_used: 20 });
  t.match((await authenticate(server, access_token)).json(), {
    tokens_used: 40,
    tokens_left: 960,
    total_tokens: 1_000,
  });
  t.notMatch(JSON.stringify(server.upstream.requests), access_token, 'upstream never sees it');
  await server.verifyLedger(t);
});

t.test('twenty first requests at once make one account', async (t) => {
  const access_token = google.issue();
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask({ access_token, max_tokens: 10 })));
  t.strictSame(new Set(answers.map(({ statusCode }) => statusCode)), new Set([200]));
  t.match((await authenticate(server, access_token)).json(), { tokens_used: 400 });
  await server.verifyLedger(t);
});

t.test('a token that is not good is 401, in the words of the contract', async (t) => {
  const foreign = google.issue({ aud: 'somebody-else', azp: 'somebody-else' });
  for (const access_token of ['ya29.unknown', foreign, google.issue({ email_verified: 'false' })]) {
    const response = await ask({ access_token });
    t.equal(response.statusCode, 401);
    t.equal(response.json().detail, 'Invalid access token');
  }
});

t.test('Google out of reach is 503, and nobody is let in', async (t) => {
  google.setMood('/tokeninfo', '500');
  const response = await ask({ access_token: google.issue() });
  google.setMood('/tokeninfo');
  t.equal(response.statusCode, 503);
});

t.test('a bearer token that is not good is not made up for by one in the body', async (t) => {
  const response = await ask({ access_token: google.issue() }, { authorization: 'Bearer x.y.z' });
  t.equal(response.statusCode, 401);
});

t.end();
