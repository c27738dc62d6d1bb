import { parseConfig } from '../../../src/config/config.js';
import {
  openChatServer,
  parseEvents,
  parseTokenUpdate,
  QUESTION,
  readBalance,
  readGenerations,
  userWith,
} from '../../helpers/chat.js';
import { usualMessage } from '../../helpers/fakes/anthropic.js';
import {
  type Answering,
  chunk,
  completion,
  DONE,
  MODELS,
  startStream,
  streaming,
  textChunk,
  usageChunk,
  usualStream,
  whole,
} from '../../helpers/fakes/openrouter.js';
import t from '../../helpers/run/tap.js';

/** Tokens QUESTION is held at. */
const PROMPT = 16;
/** A cent buys a prompt at 30,000 nano-dollars a token, and so much of an answer at 60,000. */
const MOST = Math.floor((1e7 - PROMPT * 30_000) / 60_000);

const server = await openChatServer(t, { environment: { CHAT_MAX_COST_PER_REQUEST: '0.01' } });
const { upstream } = server;
upstream.listModels([
  ...MODELS,
  { id: 'a/free', pricing: { prompt: '0', completion: '0' } },
  { id: 'a/flat', pricing: { prompt: '0', completion: '0', request: '0.02' } },
  { id: 'a/cheap', pricing: { prompt: '0.000001', completion: '0.000002' } },
  { id: 'a/auto', pricing: { prompt: '-1', completion: '-1' } },
]);
const lastRequest = () => upstream.requests.at(-1)?.body ?? {};

/** Writes one word after the other for as long as it is read. */
const endless: Answering = async (response) => {
  startStream(response);
  for (let count = 0; count < 20_000 && !response.destroyed; count += 1) {
    if (!response.write(textChunk('word '))) await new Promise((turn) => setImmediate(turn));
  }
  response.end(usageChunk(12, 20_000) + DONE);
};

t.test('a request that may cost more is refused before anything is held or sent', async (t) => {
  const user = await userWith(server, 100_000);
  for (const [body, most] of [
    [{ max_tokens: 1_000 }, MOST],
    [{ max_tokens: MOST + 1 }, MOST],
    [{ max_tokens: MOST + 1, stream: false }, MOST],
    [{ messages: [{ role: 'user', content: 'word '.repeat(1_000) }] }, 0],
    [{ model: 'a/flat' }, 0],
  ] as const) {
    const response = await user.as('POST', '/api/chat/stream', { ...QUESTION, ...body });
    t.match([response.statusCode, response.json()], [400, { code: 'COST_LIMIT_EXCEEDED', most_tokens: most }]);
  }
  const request = { ...QUESTION, model: 'openai/gpt-4', n: 2, max_tokens: MOST / 2 + 1 };
  const openai = await user.as('POST', '/api/v1/chat/completions', request);
  t.match(
    [openai.statusCode, openai.json().error],
    [400, { code: 'cost_limit_exceeded', type: 'invalid_request_error' }],
  );
  t.equal(upstream.requests.length, 0);
  t.strictSame(await readBalance(server, user), { allocated: 100_000, used: 0, reserved: 0, debt: 0 });
  t.strictSame(await readGenerations(server, user), []);
  await server.verifyLedger(t);
});

t.test('one that may not is answered, and one without a limit of its own is given that of the money', async (t) => {
  const user = await userWith(server, 100_000);
  const ask = (body: object) => user.as('POST', '/api/chat/stream', { ...QUESTION, ...body });
  upstream.answer((response, request) =>
    (request.body['stream'] === true ? streaming(usualStream()) : whole(completion()))(response, request),
  );
  t.equal((await ask({ max_tokens: MOST })).statusCode, 200);
  t.equal(lastRequest()['max_tokens'], MOST);
  t.equal((await ask({})).statusCode, 200);
  t.equal(lastRequest()['max_tokens'], MOST, 'a stream');
  t.equal((await ask({ stream: false })).statusCode, 200);
  t.equal(lastRequest()['max_tokens'], MOST, 'an answer that comes whole');
  t.equal((await ask({ model: 'a/cheap' })).statusCode, 200);
  t.equal(lastRequest()['max_tokens'], (1e7 - PROMPT * 1_000) / 2_000, 'also where the hold is smaller at first');
  t.equal((await ask({ model: 'a/free', max_tokens: 50_000 })).statusCode, 200, 'what is free has no limit');
  t.equal((await ask({ model: 'a/free' })).statusCode, 200);
  t.notOk(Object.hasOwn(lastRequest(), 'max_tokens'));
  await server.verifyLedger(t);
});

t.test('where fewer tokens are left than the money buys, those are the limit', async (t) => {
  const user = await userWith(server, 100);
  upstream.answer(streaming(usualStream()));
  t.equal((await user.as('POST', '/api/chat/stream', QUESTION)).statusCode, 200);
  t.equal(lastRequest()['max_tokens'], 100 - PROMPT);
  await server.verifyLedger(t);
});

t.test('a stream that goes beyond it all the same is cut, as it is where the tokens run out', async (t) => {
  for (const [model, most] of [
    ['openai/gpt-4', MOST],
    ['a/cheap', (1e7 - PROMPT * 1_000) / 2_000],
  ] as const) {
    const user = await userWith(server, 100_000);
    upstream.answer(endless);
    const { payload } = await user.as('POST', '/api/chat/stream', { ...QUESTION, model });
    const [cut = '{}', , end] = parseEvents(payload).slice(-3);
    t.match(JSON.parse(cut), { choices: [{ finish_reason: 'length' }] });
    t.match(parseTokenUpdate(payload), { reason: 'quota' });
    t.equal(end, '[DONE]');
    const words = payload.split('word ').length - 1;
    t.ok(words <= most && words > most * 0.9, `${words} words of ${most} were passed on`);
    t.equal((await readBalance(server, user)).reserved, 0);
  }
  await server.verifyLedger(t);
});

t.test('a stream is cut where upstream says that it has cost more', async (t) => {
  const user = await userWith(server, 100_000);
  upstream.answer((response) => {
    startStream(response);
    response.write(textChunk('one'));
    response.write(chunk({ choices: [{ index: 0, delta: { content: 'two' } }], usage: { cost: 0.009 } }));
    response.write(chunk({ choices: [{ index: 0, delta: { content: 'three' } }], usage: { cost: 0.011 } }));
    response.write(textChunk('four'));
  });
  const { payload } = await user.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 100 });
  t.match(parseTokenUpdate(payload), { reason: 'quota' });
  t.match(payload, 'two');
  t.notMatch(payload, 'four');
  const [event] = await server.database.sql<{ nano_usd: string }>(
    'select nano_usd from usage_events where subject_id = $1',
    [user.id],
  );
  t.equal(Number(event?.nano_usd), 11_000_000);
  await server.verifyLedger(t);
});

t.test('a model whose price is not known is refused', async (t) => {
  const user = await userWith(server, 100_000);
  for (const model of ['nobody/knows', 'a/auto']) {
    const response = await user.as('POST', '/api/chat/stream', { ...QUESTION, model, max_tokens: 1 });
    t.match([response.statusCode, response.json()], [400, { code: 'MODEL_PRICE_UNKNOWN', model }]);
  }
  t.strictSame(await readGenerations(server, user), []);
});

t.test('where upstream may fall back to other models, the dearest counts', async (t) => {
  const environment = { CHAT_MAX_COST_PER_REQUEST: '0.01', CHAT_EXTRAS: 'on' };
  const open = await openChatServer(t, { environment });
  const user = await userWith(open, 100_000);
  const ask = (models: string[]) =>
    user.as('POST', '/api/v1/chat/completions', {
      ...QUESTION,
      model: 'anthropic/claude-sonnet-4',
      models,
      max_tokens: 200,
    });
  t.equal((await ask([])).statusCode, 200);
  t.equal((await ask(['openai/gpt-4'])).json().error.code, 'cost_limit_exceeded');
  t.equal((await ask(['nobody/knows'])).json().error.code, 'model_price_unknown');
  await open.verifyLedger(t);
});

t.test('an upstream whose prices cannot be had is out of reach, and nothing is held', async (t) => {
  const environment = { CHAT_MAX_COST_PER_REQUEST: '0.01', OPENROUTER_BASE_URL: 'http://127.0.0.1:9/api/v1' };
  const cut = await openChatServer(t, { environment });
  const user = await userWith(cut, 100_000);
  const response = await user.as('POST', '/api/chat/stream', { ...QUESTION, max_tokens: 10 });
  t.match([response.statusCode, response.json().code], [503, 'UPSTREAM_UNAVAILABLE']);
  t.strictSame(await readGenerations(cut, user), []);
});

t.test('it is an amount of dollars', async (t) => {
  for (const bad of ['-1', 'much', '1e3', '0.0000000001', '$1']) {
    t.throws(() => parseConfig({ CHAT_MAX_COST_PER_REQUEST: bad }), { message: /CHAT_MAX_COST_PER_REQUEST/ }, bad);
  }
  const { chat } = parseConfig({ OPENROUTER_API_KEY: 'key', CHAT_MAX_COST_PER_REQUEST: '0.1' });
  t.equal(chat?.maxNanoUsd, 100_000_000);
  t.equal(parseConfig({ OPENROUTER_API_KEY: 'key' }).chat?.maxNanoUsd, undefined);
});

t.test('what the models of a message cost that it may fall back on counts as well', async (t) => {
  const open = await openChatServer(t, { environment: { CHAT_MAX_COST_PER_REQUEST: '0.01', CHAT_EXTRAS: 'on' } });
  open.upstream.listModels([...MODELS, { id: 'a/cheap', pricing: { prompt: '0.000001', completion: '0.000002' } }]);
  const user = await userWith(open, 100_000);
  const body = { ...QUESTION, model: 'a/cheap', max_tokens: 1_000 };
  open.upstream.answer(usualMessage);
  t.equal((await user.as('POST', '/v1/messages', body)).statusCode, 200);
  for (const fields of [{ fallbacks: [{ model: 'openai/gpt-4' }] }, { models: ['openai/gpt-4'] }]) {
    const response = await user.as('POST', '/v1/messages', { ...body, ...fields });
    t.match(response.json(), { error: { code: 'cost_limit_exceeded' } }, response.payload);
  }
  await open.verifyLedger(t);
});

t.end();
