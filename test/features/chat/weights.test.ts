import { parseConfig } from '../../../src/config/config.js';
import { createModelWeighing } from '../../../src/features/chat/model-weights.js';
import { createUpstream } from '../../../src/features/chat/openrouter/upstream.js';
import { reconcile } from '../../../src/features/chat/reconcile.js';
import { maintain } from '../../../src/jobs/maintenance.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import {
  openChatServer,
  parseTokenUpdate,
  QUESTION,
  readBalance,
  readGenerations,
  userWith,
} from '../../helpers/chat.js';
import { createDeferred } from '../../helpers/deferred.js';
import {
  completion,
  DONE,
  MODELS,
  startStream,
  stopChunk,
  streaming,
  textChunk,
  usageChunk,
  usualStream,
  whole,
} from '../../helpers/fakes/openrouter.js';
import { testEnvironment } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const server = await openChatServer(t);
const config = parseConfig(testEnvironment(server.database, server.upstream.environment));
const admin = await logInAsAdmin(server);

async function setWeights(...model_weights: object[]) {
  const response = await admin.as('PUT', '/api/admin/model-weights', { model_weights });
  if (response.statusCode !== 200) throw new Error(response.payload);
  return response.json<{ model_weights: Record<string, unknown>[] }>().model_weights;
}
/** Removes all weights, so that every test sets its own. */
const clear = () => server.database.sql('delete from model_weights');
t.beforeEach(clear);

function openUpstream() {
  if (config.chat === undefined) throw new Error('no upstream');
  return createUpstream(config.chat);
}
const upstream = openUpstream();
t.after(() => upstream.close());

t.test('without a weight a token debits one', async (t) => {
  const user = await userWith(server, 1_000);
  server.upstream.answer(streaming(usualStream(12, 8)));
  const { payload } = await user.as('POST', '/api/chat/stream', QUESTION);
  t.match(parseTokenUpdate(payload), { tokens_left: 980, tokens_used: 20 });
  await server.verifyLedger(t);
});

t.test('tokens debit what they weigh, rounded up once for both sides', async (t) => {
  const user = await userWith(server, 1_000);
  await setWeights({ model: 'openai/gpt-4', input_weight: 2, output_weight: 3.4375 });
  server.upstream.answer(streaming(usualStream(12, 9)));
  const { payload } = await user.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 50 });
  // 24 + 30.9375
  t.match(parseTokenUpdate(payload), { tokens_left: 945, tokens_used: 55 });
  t.strictSame(await readBalance(server, user), { allocated: 1_000, used: 55, reserved: 0, debt: 0 });
  t.match(await readGenerations(server, user), [{ input_tokens: 12, output_tokens: 9 }], 'tokens stay tokens');
  const { usage } = (await user.as('GET', '/api/usage')).json<{ usage: object[] }>();
  t.match(usage, [{ total_tokens: 21, cost: 55 }]);
  await server.verifyLedger(t);
});

t.test('a hold buys as many tokens as the balance pays for', async (t) => {
  const user = await userWith(server, 1_000);
  await setWeights({ model: 'openai/gpt-4', input_weight: 2, output_weight: 10 });
  server.upstream.answer(whole(completion()));
  const ask = (body: object) => user.as('POST', '/api/chat/stream', { ...QUESTION, stream: false, ...body });
  t.equal((await ask({ max_tokens: 5_000 })).statusCode, 200);
  const limit = Number(server.upstream.requests.at(-1)?.body['max_tokens']);
  const [hold] = await server.database.sql<{ amount: string; input_estimate: string }>(
    'select amount, input_estimate from reservations r join generations using (id) where r.subject_id = $1',
    [user.id],
  );
  t.equal(limit, Math.floor((1_000 - 2 * Number(hold?.input_estimate)) / 10));
  t.equal(Number(hold?.amount), 2 * Number(hold?.input_estimate) + 10 * limit);
  await setWeights({ model: 'openai/gpt-4', input_weight: 50, output_weight: 1_000 });
  const refused = await ask({});
  t.match(
    [refused.statusCode, refused.json()],
    [
      403,
      { code: 'INSUFFICIENT_TOKENS', requested: 50 * Number(hold?.input_estimate) + 1_000, remaining: 1_000 - 24 - 80 },
    ],
  );
  await server.verifyLedger(t);
});

t.test('a hold grows by what its tokens weigh, and ends the stream where nothing is left', async (t) => {
  const user = await userWith(server, 20_000);
  await setWeights({ model: 'openai/gpt-4', input_weight: 1, output_weight: 4 });
  server.upstream.answer(async (response) => {
    startStream(response);
    for (let count = 0; count < 40_000 && !response.destroyed; count += 1) {
      if (!response.write(textChunk('word '))) await new Promise((turn) => setImmediate(turn));
    }
    response.end(usageChunk(12, 40_000) + DONE);
  });
  const { payload } = await user.as('POST', '/api/chat/stream', QUESTION);
  t.match(parseTokenUpdate(payload), { reason: 'quota' });
  const [generation] = await readGenerations(server, user);
  const tokens = Number(generation?.output_tokens);
  t.ok(tokens > 4_500 && tokens <= 5_050, `${tokens} of about 5,000 that were paid for`);
  t.equal((await readBalance(server, user)).reserved, 0);
  await server.verifyLedger(t);
});

t.test('a request keeps the weights it began with', async (t) => {
  const user = await userWith(server, 10_000);
  await setWeights({ model: 'openai/gpt-4', input_weight: 2, output_weight: 3 });
  const released = createDeferred();
  server.upstream.answer(async (response) => {
    startStream(response);
    response.write(textChunk('Hello there, one two three'));
    await released.promise;
    response.end(stopChunk() + usageChunk(12, 8) + DONE);
  });
  const stream = user.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 50 });
  await untilTrue(async () => (await readBalance(server, user)).reserved > 0);
  await setWeights({ model: 'openai/gpt-4', input_weight: 1_000, output_weight: 1_000 });
  released.resolve();
  t.match(parseTokenUpdate((await stream).payload), { tokens_used: 48 });
  await server.verifyLedger(t);
});

t.test('lost holds, corrections and late settlements are weighed, too', async (t) => {
  const user = await userWith(server, 10_000);
  await setWeights({ model: 'openai/gpt-4', input_weight: 2, output_weight: 3 });
  server.upstream.answer(streaming(textChunk('one two three', 'gen-weighed') + DONE));
  await user.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 20 });
  await clear();
  server.upstream.count('gen-weighed', { input: 4, output: 2 });
  await reconcile(server.backend.database, upstream);
  const corrected = await readBalance(server, user);
  t.equal(corrected.allocated - corrected.used, 10_000 - (2 * 4 + 3 * 2));
  await server.verifyLedger(t);

  const other = await userWith(server, 10_000);
  await setWeights({ model: 'openai/gpt-4', input_weight: 2, output_weight: 3 });
  const released = createDeferred();
  server.upstream.answer(async (response) => {
    startStream(response);
    response.flushHeaders();
    await released.promise;
    response.end(usualStream(12, 8));
  });
  const response = other.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 20 });
  await untilTrue(async () => (await readBalance(server, other)).reserved > 0);
  await server.database.sql(`update reservations set expires_at = now() - interval '1 second' where subject_id = $1`, [
    other.id,
  ]);
  t.match(await maintain(server.backend.database, config), { lost_generations: 1 });
  const [lost] = await readGenerations(server, other);
  const { used } = await readBalance(server, other);
  t.match(lost, { status: 'lost', output_tokens: 20 });
  t.equal(used, 2 * Number(lost?.input_tokens) + 3 * 20);
  await server.verifyLedger(t);
  released.resolve();
  t.match(parseTokenUpdate((await response).payload), { tokens_used: 2 * 12 + 3 * 8, tokens_left: 10_000 - 48 });
  await server.verifyLedger(t);
});

t.test('what weighs nothing is recorded, and costs nothing', async (t) => {
  const user = await userWith(server, 1);
  await setWeights({ model: 'openai/gpt-4', input_weight: 0 });
  server.upstream.answer(streaming(usualStream(12, 8)));
  const { payload } = await user.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 50 });
  t.match(parseTokenUpdate(payload), { tokens_left: 1, tokens_used: 0 });
  t.equal(server.upstream.requests.at(-1)?.body['max_tokens'], 50);
  const { usage } = (await user.as('GET', '/api/usage')).json<{ usage: object[] }>();
  t.match(usage, [{ total_tokens: 20, cost: 0 }]);
  await server.verifyLedger(t);
});

t.test(
  'a model weighs as its own row says, else without its suffix, else as its vendor, else as all others',
  async (t) => {
    await setWeights(
      { model: 'a/one', input_weight: 2 },
      { model: 'a/one:thinking', input_weight: 3 },
      { model: 'a/*', input_weight: 5 },
      { model: 'b/two:free', input_weight: 7 },
      { model: '*', input_weight: 11 },
    );
    const find = async (model: string) => {
      const [row] = await server.database.sql<{ weight: string | null }>(
        'select (private.find_model_weight($1)).input_weight as weight',
        [model],
      );
      return row?.weight == null ? undefined : Number(row.weight);
    };
    for (const [model, weight] of [
      ['a/one', 2],
      ['a/one:nitro', 2],
      ['a/one:thinking', 3],
      ['a/two', 5],
      ['a/two:floor', 5],
      ['b/two', 11],
      ['plain', 11],
      ['b/two:free', 7],
      // Free, so not by the price of what is not.
      ['a/one:free', undefined],
      ['c/three:free', undefined],
    ] as const) {
      t.equal(await find(model), weight, model);
    }
    await setWeights({ model: '*:free', input_weight: 0.5 });
    t.equal(await find('a/one:free'), 0.5);
    t.equal(await find('b/two:free'), 7);
  },
);

t.test('admins set, list and remove weights, and the audit log tells', async (t) => {
  const set = await setWeights(
    { model: ' Openai/GPT-4 ', input_weight: 3, output_weight: 6, comment: 'since May' },
    { model: 'a/b', input_weight: 2 },
  );
  t.match(set, [
    { model: 'a/b', input_weight: 2, output_weight: 2, source: 'operator', comment: null },
    { model: 'openai/gpt-4', input_weight: 3, output_weight: 6, source: 'operator', comment: 'since May' },
  ]);
  const removed = await setWeights({ model: 'a/b', input_weight: null });
  t.match(removed, [{ model: 'openai/gpt-4' }]);
  t.equal(removed.length, 1);
  t.match((await admin.as('GET', '/api/admin/model-weights')).json(), { model_weights: removed });
  const { entries } = (await admin.as('GET', '/api/admin/audit')).json<{ entries: object[] }>();
  t.match(entries[0], { action: 'set_model_weights' });
  for (const weights of [{ input_weight: -1 }, { input_weight: 1e7 }, { output_weight: 1 }, { input_weight: '2' }]) {
    const model_weights = [{ model: 'a/b', ...weights }];
    t.equal((await admin.as('PUT', '/api/admin/model-weights', { model_weights })).statusCode, 400);
  }
});

t.test('weights follow upstream prices where the operator wants it, and never overrule his own', async (t) => {
  const weigh = createModelWeighing(server.backend.database, upstream, 2);
  server.upstream.listModels([
    ...MODELS,
    { id: 'a/Small', pricing: { prompt: '0.0000000375', completion: '1.5e-7' } },
    { id: 'a/small:free', pricing: { prompt: '0', completion: '0' } },
    { id: 'openrouter/auto', pricing: { prompt: '-1', completion: '-1' } },
    { id: 'a/unknown' },
  ]);
  await setWeights({ model: 'anthropic/claude-sonnet-4', input_weight: 1 });
  await weigh();
  const list = async () => {
    const response = await admin.as('GET', '/api/admin/model-weights');
    return response.json<{ model_weights: Record<string, unknown>[] }>().model_weights;
  };
  t.match(await list(), [
    { model: 'a/small', input_weight: 0.0188, output_weight: 0.075, source: 'upstream' },
    { model: 'a/small:free', input_weight: 0.01, output_weight: 0.01, source: 'upstream' },
    { model: 'anthropic/claude-sonnet-4', input_weight: 1, output_weight: 1, source: 'operator' },
    { model: 'openai/gpt-4', input_weight: 15, output_weight: 30, source: 'upstream' },
  ]);
  t.equal((await list()).length, 4);

  server.upstream.listModels(MODELS);
  await createModelWeighing(server.backend.database, upstream, 3)();
  t.match(await list(), [{ source: 'operator' }, { model: 'openai/gpt-4', input_weight: 10, output_weight: 20 }]);
  t.equal((await list()).length, 2);

  // A list without prices changes nothing, and is told.
  server.upstream.listModels([{ id: 'openai/gpt-4' }]);
  await t.rejects(createModelWeighing(server.backend.database, upstream, 3)(), { code: 'UPSTREAM_FAILED' });
  t.equal((await list()).length, 2);

  await createModelWeighing(server.backend.database, upstream, undefined)();
  t.match(await list(), [{ source: 'operator' }]);
  t.equal((await list()).length, 1);
  server.upstream.listModels(MODELS);
});

t.end();
