import { parseConfig } from '../../../src/config/config.js';
import { parseCost, parseNanos, parsePrice } from '../../../src/features/chat/metering/money.js';
import { createUpstream } from '../../../src/features/chat/openrouter/upstream.js';
import { reconcile } from '../../../src/features/chat/reconcile.js';
import { maintain } from '../../../src/jobs/maintenance.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { openChatServer, parseTokenUpdate, QUESTION, readBalance, userWith } from '../../helpers/chat.js';
import { createDeferred } from '../../helpers/deferred.js';
import {
  chunk,
  completion,
  DONE,
  MODELS,
  startStream,
  stopChunk,
  streaming,
  textChunk,
  whole,
} from '../../helpers/fakes/openrouter.js';
import { testEnvironment } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

t.test('dollars are read as nano-dollars, whatever they look like', async (t) => {
  for (const [value, nanos] of [
    [0.00014, 140_000],
    ['0.00014', 140_000],
    [1.5e-7, 150],
    ['1.5e-7', 150],
    ['0.0000000375', 37.5],
    [0, 0],
    ['0', 0],
    [12, 12e9],
    [-1, undefined],
    ['-1', undefined],
    ['free', undefined],
    ['', undefined],
    [null, undefined],
    [Number.NaN, undefined],
    [1e9, undefined],
    [{}, undefined],
  ] as const) {
    t.equal(parseNanos(value), nanos, JSON.stringify(value));
  }
  t.strictSame(parsePrice({ prompt: '0.000003', completion: '0.000015' }), {
    input: 3_000,
    output: 15_000,
    request: 0,
  });
  t.strictSame(parsePrice({ prompt: '0', completion: '0', request: '0.005' }), { input: 0, output: 0, request: 5e6 });
  for (const pricing of [{}, { prompt: '1' }, { prompt: '-1', completion: '-1' }, { prompt: '101', completion: '1' }]) {
    t.equal(parsePrice(pricing), undefined, JSON.stringify(pricing));
  }
  t.equal(parseCost({ cost: 0.95 }, { upstream_inference_cost: 19 }), 0.95e9);
  t.equal(
    parseCost({ cost: 0.95, is_byok: true }, { upstream_inference_cost: 19 }),
    19.95e9,
    'with a key of their own',
  );
  t.equal(parseCost({ total_cost: 0.5, is_byok: true, upstream_inference_cost: 2 }), 2.5e9);
  t.equal(parseCost({ cost: 'unknown', estimated_cost: '0.25' }), 0.25e9);
  t.equal(parseCost({ prompt_tokens: 3 }), undefined);
});

const server = await openChatServer(t);
const config = parseConfig(testEnvironment(server.database, server.upstream.environment));

function openUpstream() {
  if (config.chat === undefined) throw new Error('no upstream');
  return createUpstream(config.chat);
}
const upstream = openUpstream();
t.after(() => upstream.close());
const round = () => reconcile(server.backend.database, upstream);

/** What the database says that upstream charges somebody: by event, and in the sums. */
async function readMoney(user: { readonly id: string }) {
  const [row] = await server.database.sql<{ events: (number | null)[]; rollups: number | null }>(
    `select (select jsonb_agg(e.nano_usd order by e.occurred_at) from usage_events e where e.subject_id = $1) as events,
            (select sum(r.nano_usd) from usage_rollups r where r.subject_id = $1)::double precision as rollups`,
    [user.id],
  );
  return row;
}
const counts = { prompt_tokens: 12, completion_tokens: 8, total_tokens: 20 };
const answerWith = (usage: object | undefined, id = 'gen-1') =>
  server.upstream.answer(
    streaming(
      textChunk('Hello', id) + stopChunk(id) + (usage === undefined ? '' : chunk({ choices: [], usage }, id)) + DONE,
    ),
  );
// Prices are known once the list has been fetched.
const first = await userWith(server, 1_000);
await first.as('GET', '/api/v1/models');

t.test('what upstream says that it charges is kept, and shown wherever usage is', async (t) => {
  const user = await userWith(server, 1_000);
  answerWith({ ...counts, cost: 0.001234567 });
  await user.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 50 });
  server.upstream.answer(whole(completion()));
  await user.as('POST', '/api/v1/chat/completions', { ...QUESTION, model: 'openai/gpt-4', max_tokens: 50 });
  t.strictSame(await readMoney(user), { events: [1_234_567, 140_000], rollups: 1_374_567 });
  const { totals } = (await user.as('GET', '/api/usage/summary')).json<{ totals: object }>();
  t.match(totals, { events: 2, nano_usd: 1_374_567 });
  const byModel = await user.as('GET', '/api/usage/summary?group_by=model,day');
  t.match(byModel.json<{ series: object[] }>().series.at(-1), { model: 'openai/gpt-4', nano_usd: 1_374_567 });
  const { usage } = (await user.as('GET', '/api/usage')).json<{ usage: object[] }>();
  t.match(usage, [{ nano_usd: 140_000 }, { nano_usd: 1_234_567 }]);
  t.match((await user.as('GET', '/api/usage.csv')).payload, /,nano_usd\r\n.*,140000\r\n.*,1234567\r\n/);
  const { usage_events } = (await user.as('GET', '/api/users/me/export')).json<{ usage_events: object[] }>();
  t.match(usage_events, [{ nano_usd: 1_234_567 }, { nano_usd: 140_000 }]);
  const admin = await logInAsAdmin(server);
  const everybody = await admin.as('GET', `/api/admin/usage/summary?user_id=${user.id}`);
  t.match(everybody.json(), { totals: { nano_usd: 1_374_567 } });
  const { usage: days } = (await admin.as('GET', '/api/admin/dashboard')).json<{ usage: Record<string, unknown> }>();
  t.match(days, { today: { nano_usd: 1_374_567 }, last_30_days: { nano_usd: 1_374_567 } });
  const months = await server.database.sql('select model, nano_usd, usd from money_by_model');
  t.strictSame(months, [{ model: 'openai/gpt-4', nano_usd: '1374567', usd: '0.001375' }]);
  await server.verifyLedger(t);
});

t.test('where upstream says nothing, its list prices decide', async (t) => {
  const user = await userWith(server, 10_000);
  answerWith(counts);
  await user.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 50 });
  // Suffixes choose among the providers of a model.
  await user.as('POST', '/api/chat/stream', { ...QUESTION, model: 'openai/gpt-4:nitro', max_tokens: 50 });
  await user.as('POST', '/api/chat/stream', { ...QUESTION, model: 'nobody/knows', max_tokens: 50 });
  answerWith(undefined);
  await user.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 50 });
  const [generation] = await server.database.sql<{ input: string; output: string }>(
    `select input_tokens as input, output_tokens as output from generations
      where subject_id = $1 and provenance = 'estimated'`,
    [user.id],
  );
  const listed = 12 * 30_000 + 8 * 60_000;
  const estimated = Number(generation?.input) * 30_000 + Number(generation?.output) * 60_000;
  t.strictSame(await readMoney(user), { events: [listed, listed, null, estimated], rollups: 2 * listed + estimated });
  await server.verifyLedger(t);
});

t.test('of what a stream says that breaks off, the greater of both stands', async (t) => {
  const user = await userWith(server, 10_000);
  const partial = chunk({ choices: [], usage: { ...counts, completion_tokens: 1, cost: 0.000001 } });
  server.upstream.answer((response) => {
    startStream(response);
    response.write(partial + textChunk('one two three four'));
    setImmediate(() => response.destroy());
  });
  await user.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 50 });
  const money = await readMoney(user);
  t.ok(Number(money?.events[0]) >= 12 * 30_000 + 60_000, `${money?.events[0]} nano-dollars`);
  await server.verifyLedger(t);
});

t.test('what costs nothing upstream is known to cost nothing, and what it charges in part is exact', async (t) => {
  server.upstream.listModels([
    ...MODELS,
    { id: 'a/free', pricing: { prompt: '0', completion: '0' } },
    { id: 'a/small', pricing: { prompt: '0.0000000375', completion: '0.00000015', request: '0.000000001' } },
  ]);
  const other = await openChatServer(t, { database: server.database, environment: server.upstream.environment });
  const user = await userWith(other, 10_000);
  await user.as('GET', '/api/v1/models');
  answerWith({ ...counts, prompt_tokens: 13 });
  await user.as('POST', '/api/chat/stream', { ...QUESTION, model: 'a/free', max_tokens: 50 });
  await user.as('POST', '/api/chat/stream', { ...QUESTION, model: 'a/small', max_tokens: 50 });
  // 13 × 37.5 + 8 × 150 + 1, rounded.
  t.strictSame(await readMoney(user), { events: [0, 1_689], rollups: 1_689 });
  server.upstream.listModels(MODELS);
  await server.verifyLedger(t);
});

t.test('reconciliation corrects the money in the event, in its rollups and in the totals', async (t) => {
  const user = await userWith(server, 10_000);
  answerWith(undefined, 'gen-money');
  await user.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 50 });
  server.upstream.count('gen-money', { input: 0, output: 0, cost: 0 });
  const before = await readMoney(user);
  await round();
  t.strictSame(await readMoney(user), before, 'a count that is not believed charges nothing else');
  await server.verifyLedger(t);

  server.upstream.count('gen-money', { input: 9, output: 2, cost: 0.0000421 });
  await server.database.sql('update generations set reconcile_at = now() where subject_id = $1', [user.id]);
  t.match(await round(), { corrected: 1 });
  t.strictSame(await readMoney(user), { events: [42_100], rollups: 42_100 });
  await server.verifyLedger(t);
});

t.test('a correction without money follows the list prices; without those, what is known stays', async (t) => {
  const user = await userWith(server, 10_000);
  answerWith(undefined, 'gen-listed');
  await user.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 50 });
  answerWith(undefined, 'gen-unlisted');
  await user.as('POST', '/api/chat/stream', { ...QUESTION, model: 'nobody/knows', max_tokens: 50 });
  server.upstream.count('gen-listed', { input: 9, output: 2 });
  server.upstream.count('gen-unlisted', { input: 9, output: 2 });
  t.match(await round(), { corrected: 2 });
  t.strictSame(await readMoney(user), { events: [9 * 30_000 + 2 * 60_000, null], rollups: 390_000 });
  await server.verifyLedger(t);
});

t.test('a lost stream is charged by list prices, until its server comes back late', async (t) => {
  const user = await userWith(server, 10_000);
  const released = createDeferred();
  server.upstream.answer(async (response) => {
    startStream(response);
    response.flushHeaders();
    await released.promise;
    response.end(textChunk('Hello') + stopChunk() + chunk({ choices: [], usage: { ...counts, cost: 0.5 } }) + DONE);
  });
  const stream = user.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 20 });
  await untilTrue(async () => (await readBalance(server, user)).reserved > 0);
  await server.database.sql(`update reservations set expires_at = now() - interval '1 second' where subject_id = $1`, [
    user.id,
  ]);
  t.match(await maintain(server.backend.database, config), { lost_generations: 1 });
  const [lost] = await server.database.sql<{ input: string }>(
    'select input_tokens as input from generations where subject_id = $1',
    [user.id],
  );
  const listed = Number(lost?.input) * 30_000 + 20 * 60_000;
  t.strictSame(await readMoney(user), { events: [listed], rollups: listed });
  released.resolve();
  t.match(parseTokenUpdate((await stream).payload), { tokens_used: 20 });
  t.strictSame(await readMoney(user), { events: [5e8], rollups: 5e8 });
  await server.verifyLedger(t);
});

t.test('what only was observed has no price, and the ledger check sees money that does not add up', async (t) => {
  const user = await userWith(server, 1_000);
  const event = { provider: 'chatgpt', model: 'x', inputTokens: 5, outputTokens: 5, timestamp: Date.now() };
  t.equal((await user.as('POST', '/api/usage', event)).statusCode, 201);
  t.strictSame(await readMoney(user), { events: [null], rollups: 0 });
  await server.database.sql('update usage_rollups set nano_usd = nano_usd + 1 where subject_id = $1', [user.id]);
  const failed = await server.database.sql<{ name: string }>('select name from verify_ledger() where not ok');
  t.strictSame(
    failed.map(({ name }) => name),
    ['rollups = sums of events', 'totals = sums of rollups'],
  );
  await server.database.sql('update usage_rollups set nano_usd = nano_usd - 1 where subject_id = $1', [user.id]);
  await server.verifyLedger(t);
});

t.end();
