import pg from 'pg';
import { registerUser, sendWith } from '../helpers/accounts.js';
import { openTestServer, setBalance } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';
import { signUp } from '../helpers/tracker.js';

const server = await openTestServer(t);
const user = await registerUser(server, { email: 'ada@example.com' });
const dashboard = new pg.Client({ connectionString: server.database.adminUrl });
await dashboard.connect();
t.after(() => dashboard.end());
await dashboard.query('set search_path = contracts, public');
const ask = async (query: string) => (await dashboard.query<Record<string, unknown>>(query)).rows;

const timestamp = Date.now() - 60_000;
const use = {
  provider: 'chatgpt',
  model: 'estimated',
  inputTokens: 42,
  outputTokens: 180,
  totalTokens: 222,
  timestamp,
};
for (const provider of ['chatgpt', 'claude']) {
  await user.as('POST', '/api/usage', { ...use, provider, url: 'https://chatgpt.com/c' });
}

t.test("contract 1's queries run as they were published", async (t) => {
  t.strictSame(await ask('SELECT user_id, SUM(total_tokens) FROM usage GROUP BY user_id'), [
    { user_id: user.id, sum: '444' },
  ]);
  t.strictSame(
    await ask('SELECT user_id, provider, SUM(total_tokens) FROM usage GROUP BY user_id, provider ORDER BY 2'),
    [
      { user_id: user.id, provider: 'chatgpt', sum: '222' },
      { user_id: user.id, provider: 'claude', sum: '222' },
    ],
  );
  const [row] = await ask(`select u.email, g.timestamp, g.input_tokens, g.output_tokens, g.url, g.model
    from usage g join users u on u.id = g.user_id where g.provider = 'claude'`);
  t.strictSame(row, {
    email: 'ada@example.com',
    timestamp: String(timestamp),
    input_tokens: '42',
    output_tokens: '180',
    url: 'https://chatgpt.com/c',
    model: 'estimated',
  });
  const days = await ask(`select to_timestamp(timestamp / 1000)::date as day, sum(total_tokens) from usage group by 1`);
  t.match(days, [{ sum: '444' }]);
});

t.test('users have their totals, tier and tracked counters, and no secret', async (t) => {
  await setBalance(server.database, user.id, 1_000);
  const tracker = await signUp(server, user.email);
  await sendWith(server, tracker, 'POST', '/api/trackUsage', { usage: 3, tokenCount: 20 });
  const [row] = await ask('select * from users');
  t.match(row, {
    id: user.id,
    name: 'ada',
    total_tokens: '1000',
    tokens_used: '0',
    tokens_left: '1000',
    tier: 'free',
    promptCount: '3',
    tokenCount: '20',
    oauth_provider: null,
  });
  t.strictSame(
    Object.keys(row ?? {}).filter((name) => /password|key|hash|secret/i.test(name)),
    [],
  );
  await server.verifyLedger(t);
});

t.test('settings are one document an account, subscriptions a row', async (t) => {
  await user.as('PUT', '/api/sync/settings', { settings: { theme: 'dark' } });
  t.match(await ask('select user_id, settings, last_synced_at from settings'), [
    { user_id: user.id, settings: { theme: 'dark' }, last_synced_at: Date },
  ]);
  await server.database.sql('insert into subscriptions (user_id, stripe_customer_id) values ($1, $2)', [
    user.id,
    'cus_1',
  ]);
  t.match(await ask('select user_id, tier, status, stripe_customer_id from contracts.subscriptions'), [
    { user_id: user.id, tier: 'free', status: 'none', stripe_customer_id: 'cus_1' },
  ]);
});

t.end();
