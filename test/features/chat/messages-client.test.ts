import Anthropic from '@anthropic-ai/sdk';
import { openChatServer, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import { createDeferred } from '../../helpers/deferred.js';
import {
  blockStart,
  blockStop,
  delta,
  ERROR_EVENT,
  MESSAGE_STOP,
  message,
  messageDelta,
  messageStart,
  PING,
  refusal,
  textDelta,
  toMessageUsage,
  usualMessage,
} from '../../helpers/fakes/anthropic.js';
import { startStream, streaming, whole } from '../../helpers/fakes/openrouter.js';
import { createKey, MODEL } from '../../helpers/messages.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const server = await openChatServer(t);
const url = await server.listen();

/** The official client, as its users build it: a base URL and a key. */
async function clientWith(tokens: number) {
  const user = await userWith(server, tokens);
  const apiKey = await createKey(user);
  return { user, apiKey, client: new Anthropic({ baseURL: url, apiKey }) };
}

const request = { model: MODEL, max_tokens: 100, messages: [{ role: 'user' as const, content: 'Hello!' }] };

t.test('a message that comes whole, with the balance in its headers', async (t) => {
  const { client, user } = await clientWith(1_000);
  server.upstream.answer(whole(message()));
  const { data, response, request_id } = await client.messages.create(request).withResponse();
  t.match(data, { content: [{ type: 'text', text: 'Hello!' }], usage: { input_tokens: 12, output_tokens: 8 } });
  t.equal(response.headers.get('x-tokens-remaining'), '980');
  t.equal(response.headers.get('x-tokens-used'), '20');
  t.equal(request_id, response.headers.get('x-request-id'));
  t.equal((await readBalance(server, user)).used, 20);
  await server.verifyLedger(t);
});

t.test('a message that streams', async (t) => {
  const { client, user } = await clientWith(1_000);
  server.upstream.answer(usualMessage);
  const stream = client.messages.stream({ ...request, system: 'Be brief.' });
  const texts: string[] = [];
  stream.on('text', (text) => texts.push(text));
  const final = await stream.finalMessage();
  t.strictSame(texts, ['Hello', '!']);
  t.match(final, { content: [{ type: 'text', text: 'Hello!' }], stop_reason: 'end_turn', usage: { output_tokens: 8 } });
  t.match(server.upstream.requests.at(-1)?.body, { stream: true, system: 'Be brief.' });
  t.equal((await readBalance(server, user)).used, 20);
  await server.verifyLedger(t);
});

t.test('its way with a bearer token, as with ANTHROPIC_AUTH_TOKEN, and below /api', async (t) => {
  const { apiKey, user } = await clientWith(1_000);
  server.upstream.answer(usualMessage);
  for (const baseURL of [url, `${url}/api`]) {
    const client = new Anthropic({ baseURL, authToken: apiKey, apiKey: null });
    const stream = await client.beta.messages.create({
      ...request,
      stream: true,
      betas: ['interleaved-thinking-2025-05-14'],
    });
    const types: string[] = [];
    for await (const { type } of stream) types.push(type);
    t.strictSame(types.at(-1), 'message_stop');
  }
  t.match(server.upstream.requests.at(-1)?.headers, { 'anthropic-beta': 'interleaved-thinking-2025-05-14' });
  t.equal((await readBalance(server, user)).used, 40);
  await server.verifyLedger(t);
});

t.test('tools are called, after thinking', async (t) => {
  const { client } = await clientWith(10_000);
  const tools = [
    { name: 'weather', input_schema: { type: 'object' as const, properties: { city: { type: 'string' } } } },
  ];
  server.upstream.answer(
    streaming(
      [
        messageStart(toMessageUsage(40, 1)),
        blockStart({ type: 'thinking', thinking: '', signature: '' }),
        delta({ type: 'thinking_delta', thinking: 'Rome it is' }),
        delta({ type: 'signature_delta', signature: 'EqQBCgIYAhIM' }),
        blockStop(),
        blockStart({ type: 'tool_use', id: 'toolu_1', name: 'weather', input: {} }, 1),
        delta({ type: 'input_json_delta', partial_json: '{"ci' }, 1),
        PING,
        delta({ type: 'input_json_delta', partial_json: 'ty":"Rome"}' }, 1),
        blockStop(1),
        messageDelta(toMessageUsage(null, 30), 'tool_use'),
        MESSAGE_STOP,
      ].join(''),
    ),
  );
  const final = await client.messages.stream({ ...request, tools, tool_choice: { type: 'auto' } }).finalMessage();
  t.match(final.content, [
    { type: 'thinking', thinking: 'Rome it is', signature: 'EqQBCgIYAhIM' },
    { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Rome' } },
  ]);
  t.equal(final.stop_reason, 'tool_use');
  t.match(server.upstream.requests.at(-1)?.body, { tools, tool_choice: { type: 'auto' } });
  await server.verifyLedger(t);
});

t.test('an abort of the client is settled', async (t) => {
  const { client, user } = await clientWith(1_000);
  const released = createDeferred();
  server.upstream.answer(async (response) => {
    startStream(response);
    response.write(messageStart() + blockStart() + textDelta('Hello'));
    await released.promise;
    response.end();
  });
  const stream = await client.messages.create({ ...request, stream: true });
  for await (const { type } of stream) if (type === 'content_block_delta') break;
  await untilTrue(async () => (await readGenerations(server, user))[0]?.status === 'settled');
  released.resolve();
  t.ok((await readBalance(server, user)).used > 12);
  await server.verifyLedger(t);
});

t.test('an error in the middle of a stream, and the end of the tokens, are thrown', async (t) => {
  const begun = messageStart() + blockStart() + textDelta('Hello');
  const { client } = await clientWith(1_000);
  server.upstream.answer(streaming(begun + ERROR_EVENT));
  await t.rejects(client.messages.stream(request).finalMessage(), {
    type: 'overloaded_error',
    message: /The model provider is overloaded/,
  });
  server.upstream.answer(streaming(begun));
  await t.rejects(client.messages.stream(request).finalMessage(), { type: 'api_error', message: /failed/ });
  const { client: poor } = await clientWith(200);
  server.upstream.answer(streaming(begun + textDelta(' word').repeat(2_000) + MESSAGE_STOP));
  await t.rejects(poor.messages.stream({ ...request, max_tokens: 5_000 }).finalMessage(), {
    type: 'billing_error',
    message: /tokens ran out/,
  });
  await server.verifyLedger(t);
});

t.test('a bad key, an empty balance, a bad request and a dear one are the errors its users know', async (t) => {
  const stranger = new Anthropic({ baseURL: url, apiKey: 'tlk_nobody' });
  await t.rejects(stranger.messages.create(request), { status: 401, type: 'authentication_error', message: /\S/ });
  const { client } = await clientWith(0);
  const asked = server.upstream.requests.length;
  await t.rejects(client.messages.create(request), { status: 402, type: 'billing_error', message: /\S/ });
  await t.rejects(client.messages.create({ ...request, messages: [] }), {
    status: 400,
    type: 'invalid_request_error',
    message: /\S/,
  });
  const tools = [{ type: 'web_search_20250305' as const, name: 'web_search' as const }];
  await t.rejects(client.messages.create({ ...request, tools }), { status: 400, message: /tools\[0\]\.type must be/ });
  await t.rejects(client.messages.create({ ...request, model: '@preset/x' }), {
    status: 404,
    type: 'not_found_error',
    message: /\S/,
  });
  t.equal(server.upstream.requests.length, asked, 'nothing reached upstream');
  await server.verifyLedger(t);
});

t.test('what is worth another attempt is tried again, what is not is not', async (t) => {
  const { client, user } = await clientWith(1_000);
  let attempts = 0;
  const answering = (status: number, type: string) =>
    server.upstream.answer((response, upstreamRequest) => {
      attempts += 1;
      const how = attempts === 1 ? refusal(status, type, 'x', { 'retry-after-ms': '1' }) : usualMessage;
      return how(response, upstreamRequest);
    });
  for (const [status, type] of [
    [529, 'overloaded_error'],
    [429, 'rate_limit_error'],
  ] as const) {
    attempts = 0;
    answering(status, type);
    t.match(await client.messages.create(request), { type: 'message' });
    t.equal(attempts, 2);
  }
  attempts = 0;
  answering(400, 'invalid_request_error');
  await t.rejects(client.messages.create(request), { status: 400, message: /\S/ });
  t.equal(attempts, 1);
  t.equal((await readBalance(server, user)).used, 40);
  await server.verifyLedger(t);
});

t.test('tokens are counted', async (t) => {
  const { client, user } = await clientWith(0);
  const { input_tokens: tokens } = await client.messages.countTokens({ model: MODEL, messages: request.messages });
  t.ok(tokens > 0 && tokens < 20, `${tokens} tokens`);
  t.equal((await readBalance(server, user)).used, 0);
});

t.test("the models are listed and read, in Anthropic's form", async (t) => {
  const { client, apiKey } = await clientWith(0);
  const ids: string[] = [];
  for await (const { id, type } of client.models.list({ limit: 1_000 })) ids.push(`${type} ${id}`);
  t.strictSame(ids, ['model openai/gpt-4', 'model anthropic/claude-sonnet-4']);
  const { data, has_more, first_id, last_id } = await client.models.list();
  t.match({ has_more, first_id, last_id }, { has_more: false, first_id: data[0]?.id, last_id: data.at(-1)?.id });
  t.strictSame(await client.models.retrieve(MODEL), {
    type: 'model',
    id: MODEL,
    display_name: MODEL,
    created_at: new Date(1_747_930_371_000).toISOString(),
  });
  await t.rejects(client.models.retrieve('nobody/nothing'), { status: 404, type: 'not_found_error', message: /\S/ });
  const stranger = new Anthropic({ baseURL: url, apiKey: 'tlk_nobody' });
  await t.rejects(stranger.models.list(), { status: 401, type: 'authentication_error', message: /\S/ });
  const plain = await server.app.inject({ url: '/v1/models', headers: { 'x-api-key': apiKey } });
  t.match(plain.json(), { object: 'list', data: [{ object: 'model' }] }, 'others are told in the format of OpenAI');
});

t.end();
