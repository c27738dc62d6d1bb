import { registerUser } from '../../helpers/accounts.js';
import { openTestDatabase } from '../../helpers/db/test-database.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { readCounters, signUp } from '../../helpers/tracker.js';

const database = await openTestDatabase(t);
const server = await openTestServer(t, {
  database,
  environment: {
    TRACKER_CALL_PROMPTS: '10',
    TRACKER_CALL_TOKENS: '100',
    TRACKER_DAY_PROMPTS: '25',
    TRACKER_DAY_TOKENS: '1000',
  },
});

function post(token: string, usage: number, tokenCount: number) {
  const headers = { authorization: `Bearer ${token}` };
  return server.app.inject({ method: 'POST', url: '/api/trackUsage', headers, payload: { usage, tokenCount } });
}

t.test('a call beyond its bound is 400 with a sentence, and counts nothing', async (t) => {
  const user = await registerUser(server);
  const token = await signUp(server, user.email);
  const prompts = await post(token, 11, 1);
  t.match(prompts.json(), { code: 'VALIDATION_FAILED', error: 'usage must be at most 10 a call' });
  t.equal(prompts.statusCode, 400);
  const tokens = await post(token, 1, 101);
  t.match(tokens.json(), { code: 'VALIDATION_FAILED', error: 'tokenCount must be at most 100 a call' });
  t.equal(tokens.statusCode, 400);
  t.equal(await readCounters(server, user.id), undefined);
});

t.test('beyond a day the answer is 429 and says when, also for many at once; the next day counts anew', async (t) => {
  const user = await registerUser(server);
  const token = await signUp(server, user.email);
  const answers = await Promise.all(Array.from({ length: 10 }, () => post(token, 10, 1)));
  t.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 2);
  const refused = answers.filter(({ statusCode }) => statusCode === 429);
  t.equal(refused.length, 8);
  t.match(refused[0]?.json(), { code: 'TRACKER_DAY_LIMIT', retry_after: Number });
  const wait = Number(refused[0]?.headers['retry-after']);
  t.ok(wait > 0 && wait <= 86_400, `it says when: ${wait}`);
  t.equal((await post(token, 5, 1)).statusCode, 200, 'what is left of the day may be used');
  t.match(await readCounters(server, user.id), { prompts: '25' });

  await database.sql('update tracker_counters set counted_on = counted_on - 1 where user_id = $1', [user.id]);
  t.equal((await post(token, 10, 1)).statusCode, 200);
  t.match(await readCounters(server, user.id), { prompts: '35' });
  const other = await registerUser(server);
  t.equal((await post(await signUp(server, other.email), 10, 1)).statusCode, 200, 'another account is not affected');
  await server.verifyLedger(t);
});

t.test('tracker tokens by e-mail alone are off by default where chat or payments are set up', async (t) => {
  const user = await registerUser(server);
  const isOpen = async (environment: Record<string, string>) => {
    const other = await openTestServer(t, { database, environment });
    const { statusCode } = await other.app.inject({ method: 'POST', url: '/signup', payload: { email: user.email } });
    return statusCode === 200;
  };
  t.equal(await isOpen({}), true);
  t.equal(await isOpen({ OPENROUTER_API_KEY: 'key' }), false);
  t.equal(await isOpen({ STRIPE_SECRET_KEY: 'sk_test_1', STRIPE_WEBHOOK_SECRET: 'whsec_1' }), false);
  t.equal(await isOpen({ OPENROUTER_API_KEY: 'key', EMAIL_ONLY_SIGNUP: 'on' }), true);
});

t.end();
