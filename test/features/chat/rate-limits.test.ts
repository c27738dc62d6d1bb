import { openChatServer, QUESTION, userWith } from '../../helpers/chat.js';
import { openGoogleTokens } from '../../helpers/fakes/google-tokens.js';
import type { TestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';

type Answer = Awaited<ReturnType<TestServer['app']['inject']>>;

const google = await openGoogleTokens(t);
const server = await openChatServer(t, {
  environment: { ...google.environment, RATE_LIMIT: 'on', RATE_LIMIT_USER: '8', RATE_LIMIT_USER_TOKENS: '30' },
});

/** Asks until it is refused: a question costs 20 tokens, so that the third finds 40 of 30 used. */
async function assertThirdRefused(t: Test, ask: () => Promise<Answer>): Promise<Answer> {
  for (const _ of [1, 2]) t.equal((await ask()).statusCode, 200);
  const asked = server.upstream.requests.length;
  const refused = await ask();
  t.equal(refused.statusCode, 429);
  t.match(refused.headers['retry-after'], /^[1-9]\d*$/);
  t.match(refused.headers['ratelimit'], /"user-tokens";r=0;t=\d+/);
  t.equal(server.upstream.requests.length, asked, 'upstream is not asked');
  return refused;
}

t.test('an account that used too many tokens waits, streamed or whole, in either format', async (t) => {
  const user = await userWith(server, 10_000);
  const refused = await assertThirdRefused(t, () => user.as('POST', '/api/chat/stream', QUESTION));
  t.match(refused.json(), { code: 'RATE_LIMITED', limit: 'user-tokens', retry_after: Number });
  const openAi = await user.as('POST', '/api/v1/chat/completions', { ...QUESTION, model: 'openai/gpt-4' });
  t.equal(openAi.statusCode, 429);
  t.match(openAi.json(), { error: { code: 'rate_limit_exceeded', type: 'rate_limit_error' } });
  t.equal((await user.as('GET', '/api/users/me/balance')).statusCode, 200, 'the balance can be read');
  const other = await userWith(server, 10_000);
  t.equal((await other.as('POST', '/api/chat/stream', QUESTION)).statusCode, 200);
  await server.verifyLedger(t);
});

t.test(
  'so does the owner of a Google access token, whose requests are limited like those of any account',
  async (t) => {
    const payload = { ...QUESTION, access_token: google.issue() };
    const ask = () => server.app.inject({ method: 'POST', url: '/api/chat/stream', payload });
    await assertThirdRefused(t, ask);
    const answers: Answer[] = [];
    for (let n = 0; n < 6; n += 1) answers.push(await ask());
    t.match(answers.at(-1)?.headers['ratelimit'], /"user";r=0/);
    t.equal(answers.at(-1)?.statusCode, 429);
    await server.verifyLedger(t);
  },
);

t.end();
