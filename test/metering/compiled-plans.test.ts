import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { registerUser } from '../helpers/accounts.js';
import { openChatServer, QUESTION, userWith } from '../helpers/chat.js';
import { openTestCluster } from '../helpers/db/test-database.js';
import t, { type Test } from '../helpers/run/tap.js';
import { signUp } from '../helpers/tracker.js';

/** Postgres' `jit_above_cost`: from here on it compiles a plan before it runs it, each time, in tens of milliseconds. */
const COMPILED_FROM = 100_000;

// The Postgres of the tests cannot compile, but says what it reckons with.
const database = await openTestCluster(t);
await database.sql(`alter role authenticator set session_preload_libraries = 'auto_explain'`);
await database.sql('alter role authenticator set auto_explain.log_min_duration = 0');
await database.sql('alter role authenticator set auto_explain.log_nested_statements = on');
await database.sql(`update private.alert_settings set mail_people = true, mail_to = '{owner@example.com}'`);
const server = await openChatServer(t, { database });

/** Returns the plans of all statements that were run meanwhile. */
async function recordPlans(act: () => Promise<unknown>): Promise<{ query: string; cost: number }[]> {
  const path = join(database.cluster.directory, 'server.log');
  const before = (await readFile(path, 'utf8')).length;
  await act();
  const log = (await readFile(path, 'utf8')).slice(before);
  return [...log.matchAll(/plan:\n\tQuery Text: ([\s\S]*?)\n\t\S[^\n]*cost=[\d.]+\.\.([\d.]+)/g)].map(
    ([, query = '', cost = '']) => ({ query: query.replace(/\s+/g, ' '), cost: Number(cost) }),
  );
}

async function assertNothingIsCompiled(t: Test, act: () => Promise<unknown>): Promise<void> {
  const plans = await recordPlans(act);
  t.ok(plans.length > 0, 'plans were recorded');
  t.strictSame(
    plans.filter(({ cost }) => cost >= COMPILED_FROM),
    [],
  );
}

t.test('uses of devices, from the first of the period to the one that is refused', async (t) => {
  const devices = await Promise.all(Array.from({ length: 5 }, () => server.registerDevice(10)));
  const use = (key?: string) => (device: (typeof devices)[number]) =>
    server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' }, key ? { 'idempotency-key': key } : {});
  await assertNothingIsCompiled(t, async () => {
    for (let each = 0; each < 12; each += 1) await Promise.all(devices.map(use()));
    for (const device of devices) await use(randomUUID())(device);
  });
  const holder = await server.registerDevice(10);
  await assertNothingIsCompiled(t, async () => {
    const body = { model_type: 'gpt-5', reserve: true };
    const { reservation_id } = (await server.as(holder, 'POST', '/api/usage/check', body)).json();
    await server.as(holder, 'POST', '/api/usage/log', { model_type: 'gpt-5', reservation_id });
  });
  await server.verifyLedger(t);
});

t.test('chat, up to the last token', async (t) => {
  const user = await userWith(server, 3000);
  await database.sql('update users set email_verified_at = now() where id = $1', [user.id]);
  await assertNothingIsCompiled(t, async () => {
    for (let each = 0; each < 5; each += 1) {
      await user.as('POST', '/v1/chat/completions', { model: 'gpt-5', max_tokens: 1000, ...QUESTION });
    }
  });
  await server.verifyLedger(t);
});

t.test('recorded uses, tracked ones and features', async (t) => {
  const user = await registerUser(server);
  const token = await signUp(server, user.email);
  const event = { provider: 'openai', model: 'gpt-5', inputTokens: 10, outputTokens: 5, totalTokens: 15 };
  await assertNothingIsCompiled(t, async () => {
    for (const timestamp of [Date.now() - 1000, Date.now()]) {
      await user.as('POST', '/api/usage', { ...event, timestamp, url: 'https://example.com/' });
      await user.as('POST', '/api/events', { name: 'opened' });
      const headers = { authorization: `Bearer ${token}` };
      const payload = { usage: 1, tokenCount: 120 };
      await server.app.inject({ method: 'POST', url: '/trackUsage', headers, payload });
    }
  });
  await server.verifyLedger(t);
});

t.end();
