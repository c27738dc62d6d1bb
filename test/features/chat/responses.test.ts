import OpenAI from 'openai';
import pg from 'pg';
import { openChatServer, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import { createDeferred } from '../../helpers/deferred.js';
import { startStream, streaming, whole } from '../../helpers/fakes/openrouter.js';
import {
  completed,
  created,
  event,
  functionCall,
  functionEvents,
  message,
  messageStart,
  responding,
  response,
  textDelta,
  toResponseUsage,
  usualEvents,
} from '../../helpers/fakes/responses.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const server = await openChatServer(t);
const url = await server.listen();
const { upstream } = server;
const model = 'openai/gpt-4';
const ASKED = { model, input: 'Hello! How are you?' };

/** The official client, as its users build it: a base URL and a key. */
async function clientWith(tokens: number) {
  const user = await userWith(server, tokens);
  const { key } = (await user.as('POST', '/api/users/me/api-keys', { name: 'openai' })).json<{ key: string }>();
  return { user, client: new OpenAI({ baseURL: `${url}/v1`, apiKey: key }) };
}

/** Returns the events of a stream: the name and the data of each. */
function parseEvents(stream: string) {
  return stream
    .split('\n\n')
    .filter((text) => text.startsWith('event: '))
    .map((text) => {
      const [name = '', data = ''] = text.split('\n');
      const fields: Record<string, unknown> = JSON.parse(data.slice('data: '.length));
      return { name: name.slice('event: '.length), fields };
    });
}

t.test('an answer that comes whole, with the balance in its headers', async (t) => {
  const { client, user } = await clientWith(1_000);
  upstream.answer(responding);
  const { data, response } = await client.responses
    .create({ ...ASKED, max_output_tokens: 100, metadata: { a: 'b' }, temperature: 0.5, instructions: 'Be brief.' })
    .withResponse();
  t.equal(data.output_text, 'Hello!');
  t.equal(data.usage?.total_tokens, 20);
  t.equal(response.headers.get('x-tokens-remaining'), '980');
  t.equal(response.headers.get('x-tokens-used'), '20');
  const [request] = upstream.requests.slice(-1);
  t.equal(request?.path, '/api/v1/responses');
  t.strictSame(request?.body, {
    store: false,
    input: ASKED.input,
    max_output_tokens: 100,
    metadata: { a: 'b' },
    temperature: 0.5,
    instructions: 'Be brief.',
    stream: false,
    model,
  });
  t.match(await readGenerations(server, user), [
    { input_tokens: 12, output_tokens: 8, provenance: 'provider_final', upstream_id: 'gen-r1' },
  ]);
  await server.verifyLedger(t);
});

t.test('a stream is passed on with the names of its events', async (t) => {
  const user = await userWith(server, 1_000);
  upstream.answer(streaming(`: OPENROUTER PROCESSING\n\n${usualEvents()}data: [DONE]\n\n`));
  const { payload, headers } = await user.as('POST', '/v1/responses', { ...ASKED, stream: true });
  t.match(headers['content-type'], /^text\/event-stream/);
  t.strictSame(parseEvents(payload), parseEvents(usualEvents()));
  t.match(upstream.requests.at(-1)?.body, { stream: true, store: false });
  t.equal((await readBalance(server, user)).used, 20);
  await server.verifyLedger(t);
});

t.test('the event that completes a stream comes when it is settled', async (t) => {
  const { client, user } = await clientWith(1_000);
  upstream.answer(responding);
  let text = '';
  const types: string[] = [];
  for await (const part of await client.responses.create({ ...ASKED, stream: true })) {
    types.push(part.type);
    if (part.type === 'response.output_text.delta') text += part.delta;
    if (part.type !== 'response.completed') continue;
    t.strictSame(await readBalance(server, user), { allocated: 1_000, used: 20, reserved: 0, debt: 0 });
    t.equal(part.response.usage?.total_tokens, 20);
  }
  t.equal(text, 'Hello!');
  t.equal(types.at(-1), 'response.completed');
  const final = await client.responses.stream(ASKED).finalResponse();
  t.match(final, { status: 'completed', output_text: 'Hello!' });
  await server.verifyLedger(t);
});

t.test('a stream that cannot be settled in time ends with an error, and is settled later', async (t) => {
  const user = await userWith(server, 1_000);
  const holder = new pg.Client({ connectionString: server.database.adminUrl });
  await holder.connect();
  t.teardown(() => holder.end());
  upstream.answer(async (httpResponse) => {
    startStream(httpResponse);
    httpResponse.write(created + messageStart() + textDelta('Hello!'));
    await holder.query('begin');
    await holder.query('select from balances where subject_id = $1 for update', [user.id]);
    httpResponse.end(completed([message('Hello!')]));
  });
  const { payload } = await user.as('POST', '/v1/responses', { ...ASKED, stream: true });
  const events = parseEvents(payload);
  t.notOk(
    events.some(({ name }) => name === 'response.completed'),
    'nobody is told that it is complete',
  );
  t.match(events.slice(-2), [
    { name: 'error', fields: { code: 'service_unavailable' } },
    { name: 'response.failed', fields: { response: { id: 'gen-r1', error: { code: 'service_unavailable' } } } },
  ]);
  await holder.query('commit');
  await untilTrue(async () => (await readGenerations(server, user))[0]?.status === 'settled');
  t.equal((await readBalance(server, user)).used, 20);
  await server.verifyLedger(t);
});

t.test('tools are called', async (t) => {
  const { client } = await clientWith(10_000);
  const tools = [
    { type: 'function' as const, name: 'weather', parameters: { type: 'object' }, strict: false },
    { type: 'custom' as const, name: 'patch' },
  ];
  upstream.answer(streaming(functionEvents(['{"ci', 'ty":"Rome"}'])));
  const final = await client.responses.stream({ ...ASKED, tools, tool_choice: 'auto' }).finalResponse();
  t.match(final.output, [{ type: 'function_call', name: 'weather', arguments: '{"city":"Rome"}' }]);
  t.match(upstream.requests.at(-1)?.body, { tools, tool_choice: 'auto' });
  upstream.answer(responding);
  const input = [
    { role: 'user' as const, content: 'What is the weather?' },
    { type: 'function_call' as const, call_id: 'call_1', name: 'weather', arguments: '{}' },
    { type: 'function_call_output' as const, call_id: 'call_1', output: 'Sun' },
  ];
  t.equal((await client.responses.create({ model, input, tools })).output_text, 'Hello!');
  t.strictSame(upstream.requests.at(-1)?.body['input'], input);
  await server.verifyLedger(t);
});

t.test('an abort of the client is settled', async (t) => {
  const { client, user } = await clientWith(1_000);
  const released = createDeferred();
  upstream.answer(async (httpResponse) => {
    startStream(httpResponse);
    httpResponse.write(created + messageStart() + textDelta('Hello'));
    await released.promise;
    httpResponse.end(textDelta('!') + completed([message('Hello!')]));
  });
  const parts = await client.responses.create({ ...ASKED, stream: true });
  for await (const part of parts) if (part.type === 'response.output_text.delta') break;
  released.resolve();
  await untilTrue(async () => (await readGenerations(server, user))[0]?.status === 'settled');
  t.equal((await readBalance(server, user)).used, 20);
  await server.verifyLedger(t);
});

const ERRORS: readonly (readonly [name: string, stream: string, code: string, used: number | undefined])[] = [
  ['an event', created + event('error', { code: 'server_error', message: 'Secret' }), 'upstream_failed', 0],
  [
    'an event about a limit',
    created + event('error', { code: 'rate_limit_exceeded', message: 'Secret' }),
    'rate_limit_exceeded',
    0,
  ],
  [
    'a response that failed at once',
    created +
      event('response.failed', {
        response: response([], null, { status: 'failed', error: { code: 'server_error', message: 'Secret' } }),
      }),
    'upstream_failed',
    0,
  ],
  [
    'a response that failed, with what it cost',
    created +
      textDelta('Hello') +
      event('response.failed', {
        response: response([], toResponseUsage(30, 5), { status: 'failed', error: { message: 'Secret' } }),
      }),
    'upstream_failed',
    35,
  ],
  [
    'a response that is completed and failed',
    created + event('response.completed', { response: response([], null, { error: { message: 'Secret' } }) }),
    'upstream_failed',
    0,
  ],
  ['a stream that ends', created + messageStart() + textDelta('Hello'), 'upstream_failed', undefined],
  ['a stream that ends with a mark only', `${created}data: [DONE]\n\n`, 'upstream_failed', 0],
  ['another format', 'data: {"choices":[{"delta":{"content":"Secret"}}]}\n\n', 'upstream_failed', 0],
  ['no events', '<html>Secret</html>', 'upstream_failed', 0],
];

t.test('an error in a stream is thrown, and ends the response', async (t) => {
  for (const [name, stream, code, used] of ERRORS) {
    const { client, user } = await clientWith(1_000);
    upstream.answer(streaming(stream));
    const parts = await client.responses.create({ ...ASKED, stream: true });
    const read = async () => {
      for await (const _part of parts);
    };
    await t.rejects(read(), { code, message: /The model provider/ }, name);
    const { payload } = await user.as('POST', '/v1/responses', { ...ASKED, stream: true });
    t.notMatch(payload, /secret/i, name);
    const [error, failed] = parseEvents(payload).slice(-2);
    t.match(error, { name: 'error', fields: { type: 'error', code, message: String, sequence_number: Number } }, name);
    t.match(failed, {
      name: 'response.failed',
      fields: { type: 'response.failed', response: { object: 'response', status: 'failed', error: { code } } },
    });
    if (used !== undefined) t.equal((await readBalance(server, user)).used, used * 2, name);
    t.equal((await readBalance(server, user)).reserved, 0);
  }
  await server.verifyLedger(t);
});

t.test('a stream that is longer than what is left ends with a response that failed for want of tokens', async (t) => {
  const { client, user } = await clientWith(3_000);
  upstream.answer(async (httpResponse) => {
    startStream(httpResponse);
    httpResponse.write(created + messageStart());
    for (let count = 0; count < 20_000 && !httpResponse.destroyed; count += 1) {
      if (!httpResponse.write(textDelta('word '))) await new Promise((turn) => setImmediate(turn));
    }
    httpResponse.end(completed([message('word '.repeat(20_000))], toResponseUsage(12, 20_000)));
  });
  let words = 0;
  let last: unknown;
  for await (const part of await client.responses.create({ ...ASKED, stream: true })) {
    if (part.type === 'response.output_text.delta') words += 1;
    last = part;
  }
  t.match(last, {
    type: 'response.failed',
    response: {
      id: 'gen-r1',
      status: 'failed',
      error: { code: 'insufficient_quota' },
      usage: { total_tokens: Number },
    },
  });
  t.ok(words > 2_000 && words <= 3_000, `${words} words came`);
  const { used, reserved, debt } = await readBalance(server, user);
  t.ok(used >= words && used <= 3_000, `${used} were used`);
  t.strictSame([reserved, debt], [0, 0]);
  await server.verifyLedger(t);
});

t.test('a stream longer than its hold goes on as long as tokens are left', async (t) => {
  const user = await userWith(server, 100_000);
  upstream.answer(async (httpResponse) => {
    startStream(httpResponse);
    httpResponse.write(created + messageStart());
    for (let count = 0; count < 9_000; count += 1) httpResponse.write(textDelta('word '));
    httpResponse.end(completed([message('word '.repeat(9_000))], toResponseUsage(12, 9_000)));
  });
  const { payload } = await user.as('POST', '/v1/responses', { ...ASKED, stream: true });
  t.notOk(Object.hasOwn(upstream.requests.at(-1)?.body ?? {}, 'max_output_tokens'), 'upstream was set no limit');
  t.equal(parseEvents(payload).at(-1)?.name, 'response.completed');
  t.equal((await readBalance(server, user)).used, 9_012);
  await server.verifyLedger(t);
});

t.test('an answer that comes whole is limited to what is left', async (t) => {
  upstream.answer(responding);
  const sentLimit = async (tokens: number, fields: object = {}) => {
    const user = await userWith(server, tokens);
    t.equal((await user.as('POST', '/v1/responses', { ...ASKED, ...fields })).statusCode, 200);
    return upstream.requests.at(-1)?.body['max_output_tokens'];
  };
  t.equal(await sentLimit(100_000), undefined, 'the limit of the model is known');
  t.equal(await sentLimit(1_000), 1_000 - 15);
  t.equal(await sentLimit(1_000, { max_output_tokens: 5_000 }), 1_000 - 15);
  t.equal(await sentLimit(20), 16, 'the fewest OpenAI takes');
  t.equal(await sentLimit(1_000, { max_output_tokens: 3 }), 3);
  await server.verifyLedger(t);
});

t.test('the same request with a key is paid for once, also against other endpoints', async (t) => {
  const user = await userWith(server, 1_000);
  upstream.answer(responding);
  const ask = (path: string, fields: object = {}) =>
    user.as('POST', path, { ...ASKED, ...fields }, { 'idempotency-key': 'k' });
  t.equal((await ask('/v1/responses')).statusCode, 200);
  t.match((await ask('/v1/responses')).json(), { error: { code: 'already_answered' } });
  t.match((await ask('/v1/responses', { input: 'Another' })).json(), { error: { code: 'idempotency_mismatch' } });
  t.match((await ask('/v1/embeddings')).json(), { error: { code: 'idempotency_mismatch' } });
  t.equal((await readBalance(server, user)).used, 20);
  await server.verifyLedger(t);
});

t.test('a request that was lost is 504 for good, and costs what was held', async (t) => {
  for (const stream of [true, false]) {
    const user = await userWith(server, 1_000);
    upstream.answer((httpResponse) => void httpResponse.destroy());
    const lost = await user.as('POST', '/v1/responses', { ...ASKED, stream, max_output_tokens: 100 });
    t.equal(lost.statusCode, 504);
    t.equal(lost.headers['x-should-retry'], 'false');
    t.match(lost.json(), { error: { code: 'upstream_timeout', type: 'server_error' } });
    t.match(await readGenerations(server, user), [{ provenance: 'estimated', output_tokens: 100 }]);
  }
  await server.verifyLedger(t);
});

t.test('errors before the answer are those its users know', async (t) => {
  const { client, user } = await clientWith(0);
  await t.rejects(client.responses.create(ASKED), { status: 429, code: 'insufficient_quota' });
  const stranger = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'tlk_nobody' });
  await t.rejects(stranger.responses.create(ASKED), { status: 401, code: 'invalid_api_key' });
  const rich = await clientWith(1_000);
  upstream.answer(whole({ error: { code: 404, message: 'No endpoints found for openai/gpt-4' } }, 404));
  await t.rejects(rich.client.responses.create(ASKED), { status: 400, code: 'model_not_found' });
  t.equal((await readBalance(server, rich.user)).used, 0);
  t.equal((await user.as('GET', '/v1/responses/resp_1')).statusCode, 404);
  await server.verifyLedger(t);
});

t.test('a whole answer that is none is an error; it is billed by what it says', async (t) => {
  const failed = response([functionCall('{}')], toResponseUsage(30, 5), {
    status: 'failed',
    error: { message: 'Secret' },
  });
  const cases: readonly (readonly [name: string, body: object, used: number])[] = [
    ['an error', { error: { message: 'Secret' } }, 0],
    ['another format', { choices: [{ message: { content: 'Secret' } }] }, 0],
    ['a response that failed', failed, 35],
  ];
  for (const [name, body, used] of cases) {
    const user = await userWith(server, 1_000);
    upstream.answer(whole(body));
    const answer = await user.as('POST', '/v1/responses', ASKED);
    t.equal(answer.statusCode, 502, name);
    t.match(answer.json(), { error: { code: 'upstream_failed', type: 'server_error' } }, name);
    t.notMatch(answer.payload, /secret/i, name);
    t.equal((await readBalance(server, user)).used, used, name);
  }
  await server.verifyLedger(t);
});

t.end();
