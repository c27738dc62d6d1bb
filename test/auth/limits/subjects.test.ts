import { createApiKey, registerUser, sendWith } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { findFlaws } from '../../helpers/http/bad-input.js';
import { openTestServer, type TestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { signUp } from '../../helpers/tracker.js';

type Answer = Awaited<ReturnType<TestServer['app']['inject']>>;

const LIMITS = {
  RATE_LIMIT: 'on',
  RATE_LIMIT_DEVICE: '5',
  RATE_LIMIT_DEVICE_TOKENS: '10',
  RATE_LIMIT_USER: '6,12,24',
  RATE_LIMIT_API_KEY: '4',
  RATE_LIMIT_ADMIN: '3',
  RATE_LIMIT_TRACKER: '3',
};
const server = await openTestServer(t, { environment: LIMITS });

/** Asserts that the last of some answers was refused for the first time, in the one form, and says when to come back. */
function assertLimited(t: Test, answers: readonly Answer[], name: string): void {
  const statuses = answers.map(({ statusCode }) => statusCode);
  t.notOk(statuses.slice(0, -1).includes(429), `before: ${statuses}`);
  const last = answers.at(-1);
  if (last === undefined) throw new Error('there was no answer');
  t.equal(last.statusCode, 429);
  t.strictSame(findFlaws(last, '429'), []);
  t.match(last.json(), { code: 'RATE_LIMITED', limit: name, retry_after: Number });
  t.match(last.headers['retry-after'], /^[1-9]\d*$/);
  t.match(last.headers['ratelimit'], new RegExp(`"${name}";r=0;t=${last.headers['retry-after']}\\b`));
}

/** Sends requests one after the other. */
async function repeat(times: number, send: () => Promise<Answer>): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let n = 0; n < times; n += 1) answers.push(await send());
  return answers;
}

t.test('a device may send so many requests a minute, over all its routes; another is not affected', async (t) => {
  const [device, other] = [await server.registerDevice(), await server.registerDevice()];
  const urls = ['/api/devices/check-can-use', '/devices/check-can-use'];
  let n = 0;
  const send = () => {
    n += 1;
    return n % 2 === 0
      ? server.as(device, 'GET', `/api/devices/${device.id}/tokens`)
      : server.as(device, 'POST', urls[n % 3 === 0 ? 0 : 1] ?? '', { model_type: 'gpt-5' });
  };
  assertLimited(t, await repeat(6, send), 'device');
  t.equal((await server.as(other, 'GET', `/devices/${other.id}/tokens`)).statusCode, 200);
  await server.verifyLedger(t);
});

t.test('each answer tells what is left, in the form of the draft', async (t) => {
  const device = await server.registerDevice();
  const answer = await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
  t.equal(
    answer.headers['ratelimit-policy'],
    '"address";q=6000;w=60, "device";q=5;w=60, "device-tokens";q=10;w=60;qu="tokens"',
  );
  t.match(answer.headers['ratelimit'], /^"address";r=\d+;t=\d+, "device";r=4;t=60, "device-tokens";r=10;t=60$/);
  const health = await server.app.inject({ url: '/healthz' });
  t.notOk('ratelimit' in health.headers, 'probes are not counted');
});

t.test('a device that used too many tokens waits; its balance can still be read', async (t) => {
  const device = await server.registerDevice(50);
  const use = () => server.as(device, 'POST', '/api/usage/log', { model_type: 'claude-opus-4.5', prompt_count: 4 });
  t.equal((await use()).statusCode, 200, 'what a use costs counts for the next one');
  assertLimited(t, [await use()], 'device-tokens');
  const balance = await server.as(device, 'GET', `/devices/${device.id}/tokens`);
  t.match(balance.json(), { used: 12 }, 'nothing was debited');
  await server.verifyLedger(t);
});

t.test('an account, with whatever session, and each of its keys have a limit of their own', async (t) => {
  const user = await registerUser(server);
  const key = await createApiKey(user);
  const byKey = await repeat(5, () => sendWith(server, key, 'GET', '/api/users/me'));
  assertLimited(t, byKey, 'api-key');
  const bySession = await user.as('GET', '/api/users/me');
  t.match(bySession.json(), { code: 'RATE_LIMITED', limit: 'user' }, "the key's requests were the account's too");
  const other = await registerUser(server);
  t.equal((await other.as('GET', '/api/users/me')).statusCode, 200);
});

t.test('a higher tier has a higher limit', async (t) => {
  const user = await registerUser(server);
  await server.database.sql(
    `insert into subscriptions (user_id, tier, status, stripe_customer_id, stripe_subscription_id, current_period_start,
                                current_period_end, started_at, state_at)
     values ($1, 'pro', 'active', 'cus_1', 'sub_1', now(), now() + interval '1 month', now(), now())`,
    [user.id],
  );
  const answers = await repeat(13, () => user.as('GET', '/api/users/me'));
  assertLimited(t, answers, 'user');
  t.match(answers.at(-1)?.headers['ratelimit-policy'], /"user";q=12;w=60/);
});

t.test('admins and trackers are limited, a tracker with all of its account', async (t) => {
  const admin = await logInAsAdmin(server);
  assertLimited(t, await repeat(4, () => admin.as('GET', '/api/admin/budget')), 'admin');
  const user = await registerUser(server);
  const tokens = [await signUp(server, user.email), await signUp(server, user.email)];
  let n = 0;
  const track = () => {
    n += 1;
    return sendWith(server, tokens[n % 2], 'POST', '/trackUsage', { usage: 1, tokenCount: 1 });
  };
  assertLimited(t, await repeat(4, track), 'tracker');
  await server.verifyLedger(t);
});

t.test(
  'an address may send so many requests a minute, whoever it says it is; a /64 network counts as one',
  async (t) => {
    const limited = await openTestServer(t, {
      database: server.database,
      environment: { RATE_LIMIT: 'on', RATE_LIMIT_ADDRESS: '4' },
    });
    let n = 0;
    const send = (address: string) =>
      limited.app.inject({ url: '/api/users/me', headers: { 'x-forwarded-for': address, authorization: 'Bearer x' } });
    const answers = await repeat(5, () => {
      n += 1;
      return send(`2001:db8:1:2::${n}`);
    });
    assertLimited(t, answers, 'address');
    t.equal((await send('2001:db8:1:3::1')).statusCode, 401, 'another network is not affected');
  },
);

t.test('RATE_LIMIT=off turns all of it off', async (t) => {
  const free = await openTestServer(t, {
    database: server.database,
    environment: { ...LIMITS, RATE_LIMIT: 'off', RATE_LIMIT_ADDRESS: '1' },
  });
  const device = await free.registerDevice();
  const answers = await repeat(8, () => free.as(device, 'POST', '/usage/log', { model_type: 'gpt-5' }));
  t.notOk(answers.some(({ statusCode }) => statusCode !== 200));
  t.notOk('ratelimit' in (answers[0]?.headers ?? {}));
  await free.verifyLedger(t);
});

t.end();
