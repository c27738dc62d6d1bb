import OpenAI from 'openai';
import { openChatServer, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import { createDeferred } from '../../helpers/deferred.js';
import {
  chunk,
  completion,
  DONE,
  startStream,
  stopChunk,
  streaming,
  textChunk,
  usageChunk,
  whole,
} from '../../helpers/fakes/openrouter.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const server = await openChatServer(t);
const url = await server.listen();

/** The official client, as its users build it: a base URL and a key. */
async function clientWith(tokens: number) {
  const user = await userWith(server, tokens);
  const { key } = (await user.as('POST', '/api/users/me/api-keys', { name: 'openai' })).json<{ key: string }>();
  return { user, client: new OpenAI({ baseURL: `${url}/v1`, apiKey: key }) };
}

const messages = [{ role: 'user' as const, content: 'Hello!' }];

t.test('an answer that comes whole, with the balance in its headers', async (t) => {
  const { client, user } = await clientWith(1_000);
  server.upstream.answer(whole(completion()));
  const { data, response } = await client.chat.completions
    .create({ model: 'openai/gpt-4', messages, max_tokens: 100, seed: 1, user: 'u' })
    .withResponse();
  t.equal(data.choices[0]?.message.content, 'Hello!');
  t.equal(data.usage?.total_tokens, 20);
  t.equal(response.headers.get('x-tokens-remaining'), '980');
  t.equal(response.headers.get('x-tokens-used'), '20');
  t.match(server.upstream.requests.at(-1)?.body, { model: 'openai/gpt-4', stream: false, seed: 1, user: 'u' });
  t.equal((await readBalance(server, user)).used, 20);
  await server.verifyLedger(t);
});

t.test('a stream has no chunk about usage, unless it was asked for', async (t) => {
  const { client, user } = await clientWith(1_000);
  const stream = textChunk('Hel') + textChunk('lo') + stopChunk() + usageChunk(12, 8) + DONE;
  for (const include_usage of [false, true]) {
    server.upstream.answer(streaming(stream));
    const options = include_usage ? { stream_options: { include_usage } } : {};
    const chunks = await client.chat.completions.create({ model: 'openai/gpt-4', messages, stream: true, ...options });
    let content = '';
    let usages = 0;
    for await (const { choices, usage } of chunks) {
      content += choices[0]?.delta.content ?? '';
      if (usage) usages += 1;
    }
    t.equal(content, 'Hello');
    t.equal(usages, include_usage ? 1 : 0);
    t.match(server.upstream.requests.at(-1)?.body, { stream_options: { include_usage: true } });
  }
  t.equal((await readBalance(server, user)).used, 40);
  await server.verifyLedger(t);
});

t.test('usage that upstream owes is told to who asked for it', async (t) => {
  const { client } = await clientWith(1_000);
  server.upstream.answer(streaming(textChunk('Hello') + DONE));
  const chunks = await client.chat.completions.create({
    model: 'openai/gpt-4',
    messages,
    stream: true,
    stream_options: { include_usage: true },
  });
  let output = 0;
  for await (const { usage } of chunks) output += usage?.completion_tokens ?? 0;
  t.equal(output, 1);
  await server.verifyLedger(t);
});

t.test('tools are called', async (t) => {
  const { client } = await clientWith(10_000);
  const tools = [
    {
      type: 'function' as const,
      function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
    },
  ];
  const call = (fields: object) =>
    chunk({
      choices: [{ index: 0, delta: { role: 'assistant', tool_calls: [{ index: 0, ...fields }] }, finish_reason: null }],
    });
  const parts = ['{"ci', 'ty":"Rome"}'].map((text) => call({ function: { arguments: text } }));
  server.upstream.answer(
    streaming(
      call({ id: 'call_1', type: 'function', function: { name: 'weather', arguments: '' } }) +
        parts.join('') +
        chunk({ choices: [{ index: 0, delta: {}, finish_reason: 'tool_calls' }] }) +
        usageChunk(40, 9) +
        DONE,
    ),
  );
  const runner = client.chat.completions.stream({ model: 'openai/gpt-4', messages, tools, tool_choice: 'auto' });
  const final = await runner.finalChatCompletion();
  const [called] = final.choices[0]?.message.tool_calls ?? [];
  t.match(called, { type: 'function', function: { name: 'weather', arguments: '{"city":"Rome"}' } });
  t.match(server.upstream.requests.at(-1)?.body, { tools, tool_choice: 'auto' });
  await server.verifyLedger(t);
});

t.test('an abort of the client is settled', async (t) => {
  const { client, user } = await clientWith(1_000);
  const released = createDeferred();
  server.upstream.answer(async (response) => {
    startStream(response);
    response.write(textChunk('Hello'));
    await released.promise;
    response.end(DONE);
  });
  const chunks = await client.chat.completions.create({ model: 'openai/gpt-4', messages, stream: true });
  for await (const _chunk of chunks) break;
  await untilTrue(async () => (await readGenerations(server, user))[0]?.status === 'settled');
  released.resolve();
  t.ok((await readBalance(server, user)).used > 1);
  await server.verifyLedger(t);
});

t.test('a bad key, an empty balance, a bad request and an unknown model are the errors its users know', async (t) => {
  const stranger = new OpenAI({ baseURL: `${url}/api/v1`, apiKey: 'tlk_nobody' });
  await t.rejects(stranger.models.list(), { status: 401, code: 'invalid_api_key', type: 'authentication_error' });
  const { client } = await clientWith(0);
  const asked = server.upstream.requests.length;
  await t.rejects(client.chat.completions.create({ model: 'openai/gpt-4', messages }), {
    name: 'Error',
    status: 429,
    code: 'insufficient_quota',
    type: 'insufficient_quota',
  });
  await t.rejects(client.chat.completions.create({ model: 'openai/gpt-4', messages: [] }), {
    status: 400,
    code: 'validation_failed',
    type: 'invalid_request_error',
  });
  t.equal(server.upstream.requests.length, asked, 'nothing reached upstream, and nothing was tried again');
});

t.test('an error in the middle of a stream is thrown', async (t) => {
  const { client } = await clientWith(1_000);
  server.upstream.answer(streaming(textChunk('Hello') + chunk({ error: { code: 502, message: 'internal' } })));
  const chunks = await client.chat.completions.create({ model: 'openai/gpt-4', messages, stream: true });
  await t.rejects(
    async () => {
      for await (const _chunk of chunks);
    },
    { message: /The model provider failed/, code: 'upstream_failed' },
  );
  await server.verifyLedger(t);
});

t.test('the models are listed', async (t) => {
  const { client } = await clientWith(0);
  const ids: string[] = [];
  for await (const { id } of client.models.list()) ids.push(id);
  t.strictSame(ids, ['openai/gpt-4', 'anthropic/claude-sonnet-4']);
});

t.test('a model is read by its name, with its slash escaped or not', async (t) => {
  const { client, user } = await clientWith(0);
  t.match(await client.models.retrieve('anthropic/claude-sonnet-4'), {
    id: 'anthropic/claude-sonnet-4',
    object: 'model',
    owned_by: 'anthropic',
  });
  for (const prefix of ['/v1', '/api/v1']) {
    const plain = await user.as('GET', `${prefix}/models/openai/gpt-4`);
    t.match([plain.statusCode, plain.json()], [200, { id: 'openai/gpt-4', object: 'model' }]);
  }
  await t.rejects(client.models.retrieve('nobody/nothing'), { status: 404, code: 'model_not_found', param: 'model' });
  t.equal((await user.as('GET', '/v1/models/nobody/nothing/at/all')).statusCode, 404);
  t.equal((await server.app.inject({ url: '/v1/models/openai/gpt-4' })).statusCode, 401);
});

t.test("every error below /v1 is in OpenAI's form", async (t) => {
  const { user } = await clientWith(0);
  const json = { 'content-type': 'application/json' };
  const cases: readonly (readonly [
    method: 'GET' | 'POST',
    path: string,
    status: number,
    payload?: string,
    headers?: object,
  ])[] = [
    ['GET', '/v1', 404],
    ['GET', '/v1/', 404],
    ['GET', '/v1?x=1', 404],
    ['GET', '/v1/nowhere', 404],
    ['GET', '/v1/chat/completions', 405],
    ['POST', '/v1/audio/speech', 404, '{}', json],
    ['GET', '/v1/%zz', 400],
    ['POST', '/v1/chat/completions', 400, '{', json],
    ['POST', '/v1/chat/completions', 400, '', json],
    ['POST', '/v1/chat/completions', 400, '[]', json],
    ['POST', '/v1/chat/completions', 400, '{"__proto__":1}', json],
    ['POST', '/v1/chat/completions', 415, 'x', { 'content-type': 'application/xml' }],
    ['POST', '/v1/chat/completions', 413, 'x'.repeat(21 * 1024 * 1024), json],
  ];
  for (const [method, path, status, payload, headers = {}] of cases) {
    for (const prefix of ['', '/api']) {
      const response = await user.as(method, `${prefix}${path}`, payload, { ...headers });
      t.equal(response.statusCode, status, `${method} ${path}`);
      const { error } = response.json<{ error: Record<string, unknown> }>();
      t.match(error, { message: String, type: 'invalid_request_error', code: String }, `${method} ${path}`);
      t.ok('param' in error);
    }
  }
  const nowhere = await server.app.inject({ url: '/v1x' });
  t.equal(nowhere.json().code, 'NOT_FOUND', 'elsewhere errors are as everywhere');
});

t.end();
