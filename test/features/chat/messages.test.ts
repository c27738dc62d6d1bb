import { openChatServer, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import { createDeferred } from '../../helpers/deferred.js';
import {
  blockStart,
  blockStop,
  cutAfter,
  ERROR_EVENT,
  MESSAGE_STOP,
  message,
  messageDelta,
  messageStart,
  PING,
  textDelta,
  toMessageUsage,
  usualMessage,
  usualMessageStream,
} from '../../helpers/fakes/anthropic.js';
import { startStream, streaming, UPSTREAM_KEY, whole } from '../../helpers/fakes/openrouter.js';
import { createKey, MESSAGE, MODEL, parseMessageEvents, sendWithKey } from '../../helpers/messages.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const server = await openChatServer(t);
const url = await server.listen();

const namesOf = (payload: string) => parseMessageEvents(payload).map(({ name }) => name);

t.test('a message that comes whole is billed as upstream counts it', async (t) => {
  const user = await userWith(server, 1_000);
  server.upstream.answer(usualMessage);
  const response = await user.as('POST', '/v1/messages', MESSAGE);
  t.equal(response.statusCode, 200);
  t.strictSame(response.json(), message());
  t.match(response.headers, {
    'content-type': 'application/json; charset=utf-8',
    'x-tokens-remaining': '980',
    'x-tokens-used': '20',
    'request-id': response.headers['x-request-id'],
  });
  const request = server.upstream.requests.at(-1);
  t.equal(request?.path, '/api/v1/messages');
  t.strictSame(request?.body, { ...MESSAGE, stream: false });
  t.match(request?.headers, { authorization: `Bearer ${UPSTREAM_KEY}`, 'anthropic-version': '2023-06-01' });
  t.match(await readGenerations(server, user), [
    { status: 'settled', provenance: 'provider_final', input_tokens: 12, output_tokens: 8, provider: 'anthropic' },
  ]);
  t.match(await readBalance(server, user), { used: 20, reserved: 0 });
  await server.verifyLedger(t);
});

t.test("a stream has upstream's events with their names, and nothing of the pings", async (t) => {
  const user = await userWith(server, 1_000);
  const stream = usualMessageStream();
  server.upstream.answer(streaming(stream));
  const response = await user.as('POST', '/api/v1/messages', { ...MESSAGE, stream: true });
  t.match(response.headers, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' });
  t.equal(response.payload, stream.replace(PING, ''));
  t.match(await readBalance(server, user), { used: 20, reserved: 0 });
  await server.verifyLedger(t);
});

t.test('message_stop comes only once the message is settled', async (t) => {
  const user = await userWith(server, 1_000);
  const { promise, resolve } = createDeferred();
  server.upstream.answer(async (response) => {
    startStream(response);
    response.write(usualMessageStream());
    await promise;
    response.end('data: [DONE]\n\n');
  });
  const response = await fetch(`${url}/v1/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${user.token}` },
    body: JSON.stringify({ ...MESSAGE, stream: true }),
  });
  let received = '';
  for await (const piece of response.body ?? []) {
    received += Buffer.from(piece).toString('utf8');
    if (!received.includes('message_stop')) continue;
    t.match(await readGenerations(server, user), [{ status: 'settled' }]);
    resolve();
  }
  t.equal(namesOf(received).at(-1), 'message_stop');
  await server.verifyLedger(t);
});

t.test('events without names, or without blank lines between them, get them', async (t) => {
  const user = await userWith(server, 1_000);
  const stream = usualMessageStream();
  for (const given of [
    stream.replaceAll(/^event: .*\n/gm, ''),
    stream.replaceAll('\n\n', '\n'),
    stream.replaceAll('\n', '\r\n'),
    stream.replaceAll(/^event: .*$/gm, 'event: message'),
    `${stream}data: [DONE]\n\n`,
  ]) {
    server.upstream.answer(streaming(given));
    const { payload } = await user.as('POST', '/v1/messages', { ...MESSAGE, stream: true });
    t.equal(payload, stream.replace(PING, ''), given);
  }
  await server.verifyLedger(t);
});

t.test('a kind of event that is not known is left out', async (t) => {
  const user = await userWith(server, 1_000);
  const stream = usualMessageStream();
  const unknown = 'event: vertex_event\ndata: {"type":"vertex_event","text":"x"}\n\n';
  server.upstream.answer(streaming(stream.replace(PING, unknown)));
  const { payload } = await user.as('POST', '/v1/messages', { ...MESSAGE, stream: true });
  t.equal(payload, stream.replace(PING, ''));
  await server.verifyLedger(t);
});

t.test('a stream that ends before the message does ends with an error event', async (t) => {
  const begun = messageStart() + blockStart() + textDelta('Hello there');
  const ends: readonly (readonly [name: string, how: ReturnType<typeof streaming>, type: string])[] = [
    ['its end', streaming(begun), 'api_error'],
    ['a cut', cutAfter(begun), 'api_error'],
    ['[DONE]', streaming(`${begun}data: [DONE]\n\n`), 'api_error'],
    ['an error', streaming(begun + ERROR_EVENT), 'overloaded_error'],
    ['an error without a name', streaming(begun + ERROR_EVENT.replace('event: error\n', '')), 'overloaded_error'],
    ['a chunk of another format', streaming(`${begun}data: {"choices":[]}\n\n`), 'api_error'],
    ['a page', streaming(`${begun}<html>internal words</html>\n\n`), 'api_error'],
    ['what is no JSON', streaming(`${begun}event: message_stop\ndata: internal words\n\n`), 'api_error'],
  ];
  for (const [name, how, type] of ends) {
    const user = await userWith(server, 1_000);
    server.upstream.answer(how);
    const { payload } = await user.as('POST', '/v1/messages', { ...MESSAGE, stream: true });
    const last = parseMessageEvents(payload).at(-1);
    t.equal(last?.name, 'error', name);
    t.match(last?.data, { type: 'error', error: { type, message: String }, request_id: String }, name);
    t.notMatch(payload, /internal words|message_stop/, name);
    t.match(
      await readGenerations(server, user),
      [{ status: 'settled', input_tokens: 12, provenance: 'estimated' }],
      name,
    );
  }
  await server.verifyLedger(t);
});

t.test('a stream whose message is complete ends with message_stop, even where upstream forgets it', async (t) => {
  const user = await userWith(server, 1_000);
  server.upstream.answer(streaming(usualMessageStream().replace(MESSAGE_STOP, '')));
  const { payload } = await user.as('POST', '/v1/messages', { ...MESSAGE, stream: true });
  t.equal(payload, usualMessageStream().replace(PING, ''));
  t.match(await readGenerations(server, user), [{ provenance: 'provider_final', output_tokens: 8 }]);
  await server.verifyLedger(t);
});

t.test('a stream that brings nothing is free, and an error', async (t) => {
  const user = await userWith(server, 1_000);
  for (const body of ['', PING, ': nothing\n\n', ERROR_EVENT]) {
    server.upstream.answer(streaming(body));
    const { payload } = await user.as('POST', '/v1/messages', { ...MESSAGE, stream: true });
    t.strictSame(namesOf(payload), ['error'], body);
  }
  t.match(await readBalance(server, user), { used: 0, reserved: 0 });
  await server.verifyLedger(t);
});

t.test('a stream ends with an error event when the tokens run out', async (t) => {
  const user = await userWith(server, 300);
  const words = textDelta(' word after word').repeat(2_000);
  server.upstream.answer(
    streaming(
      messageStart() + blockStart() + words + blockStop() + messageDelta(toMessageUsage(null, 8_000)) + MESSAGE_STOP,
    ),
  );
  const { payload } = await user.as('POST', '/v1/messages', { ...MESSAGE, max_tokens: 10_000, stream: true });
  const events = parseMessageEvents(payload);
  t.match(events.at(-1), { name: 'error', data: { type: 'error', error: { type: 'billing_error' } } });
  t.ok(events.length < 300, `${events.length} events came`);
  const limit = Number(server.upstream.requests.at(-1)?.body['max_tokens']);
  t.ok(limit > 0 && limit < 300, `upstream was set a limit of ${limit}`);
  t.match(await readBalance(server, user), { allocated: 300, reserved: 0, debt: 0 });
  await server.verifyLedger(t);
});

t.test('whatever the model writes counts towards the quota', async (t) => {
  for (const fields of [
    { type: 'thinking_delta', thinking: ' think deeply about number 7' },
    { type: 'input_json_delta', partial_json: '{"think":"deeply about number 7"}' },
    { type: 'some_new_delta', draft: { words: ' think deeply about number 7' } },
  ]) {
    const user = await userWith(server, 500);
    const deltas = `event: content_block_delta\ndata: ${JSON.stringify({ type: 'content_block_delta', index: 0, delta: fields })}\n\n`;
    server.upstream.answer(streaming(messageStart() + deltas.repeat(1_500) + MESSAGE_STOP));
    const { payload } = await user.as('POST', '/v1/messages', { ...MESSAGE, max_tokens: 50_000, stream: true });
    t.equal(parseMessageEvents(payload).at(-1)?.name, 'error', fields.type);
    t.ok(parseMessageEvents(payload).length < 200, fields.type);
    const { used, debt } = await readBalance(server, user);
    t.ok(used > 450, `${used} were used`);
    t.equal(debt, 0);
  }
  await server.verifyLedger(t);
});

t.test('a shorter answer leaves room for itself besides the thinking', async (t) => {
  server.upstream.answer(usualMessage);
  const thinking = { type: 'enabled', budget_tokens: 8_000, display: 'omitted' };
  const askedWith = async (tokens: number) => {
    const user = await userWith(server, tokens);
    const response = await user.as('POST', '/v1/messages', { ...MESSAGE, max_tokens: 10_000, thinking });
    t.equal(response.statusCode, 200);
    const { max_tokens: limit, thinking: asked } = server.upstream.requests.at(-1)?.body ?? {};
    return { limit: Number(limit), asked };
  };
  t.strictSame(await askedWith(100_000), { limit: 10_000, asked: thinking });
  const shorter = await askedWith(3_000);
  t.ok(shorter.limit < 3_000);
  t.strictSame(shorter.asked, { ...thinking, budget_tokens: shorter.limit - 1 });
  t.match(await askedWith(500), { asked: { type: 'disabled' } });
  await server.verifyLedger(t);
});

t.test('a request that only fills the cache holds one token for its answer', async (t) => {
  const user = await userWith(server, 1_000);
  server.upstream.answer(whole(message(toMessageUsage(12, 0), [])));
  const response = await user.as('POST', '/v1/messages', { ...MESSAGE, max_tokens: 0 });
  t.equal(response.statusCode, 200);
  t.match(server.upstream.requests.at(-1)?.body, { max_tokens: 0 });
  t.match(await readBalance(server, user), { used: 12, reserved: 0 });
  await server.verifyLedger(t);
});

t.test('the stream of a client that goes away is settled at what was produced', async (t) => {
  const user = await userWith(server, 1_000);
  server.upstream.answer((response) => {
    startStream(response);
    response.write(messageStart() + blockStart() + textDelta('one two three four'));
  });
  const leaving = new AbortController();
  const response = await fetch(`${url}/v1/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${user.token}` },
    body: JSON.stringify({ ...MESSAGE, stream: true }),
    signal: leaving.signal,
  });
  await response.body?.getReader().read();
  leaving.abort();
  await untilTrue(async () => (await readGenerations(server, user))[0]?.status === 'settled');
  t.match(await readGenerations(server, user), [
    { provenance: 'estimated', input_tokens: 12, output_tokens: 4, upstream_id: 'gen-1' },
  ]);
  await server.verifyLedger(t);
});

t.test('a request with an idempotency key is answered once', async (t) => {
  const user = await userWith(server, 1_000);
  server.upstream.answer(usualMessage);
  const key = { 'idempotency-key': 'one-message' };
  t.equal((await user.as('POST', '/v1/messages', MESSAGE, key)).statusCode, 200);
  const again = await user.as('POST', '/v1/messages', MESSAGE, key);
  t.match([again.statusCode, again.headers['x-should-retry']], [409, 'false']);
  t.match(again.json(), { type: 'error', error: { type: 'conflict_error', code: 'already_answered' } });
  const other = await user.as('POST', '/v1/messages', { ...MESSAGE, top_k: 1 }, key);
  t.match([other.statusCode, other.json().error.type], [422, 'invalid_request_error']);
  const elsewhere = await user.as('POST', '/v1/chat/completions', MESSAGE, key);
  t.equal(elsewhere.statusCode, 422, 'the same body is another request in another format');
  t.match(await readBalance(server, user), { used: 20, reserved: 0 });
  await server.verifyLedger(t);
});

t.test('a key is taken from x-api-key, or from a bearer token, which counts where there are both', async (t) => {
  const user = await userWith(server, 1_000);
  const key = await createKey(user);
  server.upstream.answer(usualMessage);
  t.equal((await sendWithKey(server, key, '/v1/messages', MESSAGE)).statusCode, 200);
  t.equal((await sendWithKey(server, user.token, '/v1/messages', MESSAGE)).statusCode, 200);
  const bearer = { authorization: `Bearer ${key}` };
  t.equal((await sendWithKey(server, 'sk-ant-of-somebody', '/v1/messages', MESSAGE, bearer)).statusCode, 200);
  t.equal((await sendWithKey(server, '', '/v1/messages', MESSAGE, bearer)).statusCode, 200);
  const nobody = { authorization: 'Bearer tlk_nobody' };
  for (const [sent, headers] of [
    ['tlk_nobody', {}],
    ['', {}],
    [`${key} ${key}`, {}],
    [key, nobody],
  ] as const) {
    const response = await sendWithKey(server, sent, '/v1/messages', MESSAGE, headers);
    t.equal(response.statusCode, 401);
    t.match(response.json(), { type: 'error', error: { type: 'authentication_error' }, request_id: String });
  }
  const elsewhere = await sendWithKey(server, key, '/api/users/me');
  t.equal(elsewhere.statusCode, 401, 'other routes take bearer tokens only');
  t.match(await readBalance(server, user), { used: 80, reserved: 0 });
  await server.verifyLedger(t);
});

t.test('beta features that cost tokens only are passed on, the others are left out', async (t) => {
  const user = await userWith(server, 1_000);
  server.upstream.answer(usualMessage);
  const headers = {
    'anthropic-version': '2026-10-21',
    'anthropic-beta':
      'claude-code-20250219,context-1m-2025-08-07, interleaved-thinking-2025-05-14,fast-mode-2026-02-01,mcp-client-2025-11-20,nobody-knows-it',
  };
  t.equal((await user.as('POST', '/v1/messages?beta=true', MESSAGE, headers)).statusCode, 200);
  t.match(server.upstream.requests.at(-1)?.headers, {
    'anthropic-version': '2026-10-21',
    'anthropic-beta': 'claude-code-20250219,interleaved-thinking-2025-05-14',
  });
  t.equal(server.upstream.requests.at(-1)?.path, '/api/v1/messages');
  t.equal(
    (await user.as('POST', '/v1/messages', MESSAGE, { 'anthropic-beta': 'fast-mode-2026-02-01' })).statusCode,
    200,
  );
  t.notOk('anthropic-beta' in (server.upstream.requests.at(-1)?.headers ?? {}));
  await server.verifyLedger(t);
});

t.test('what a request may have goes upstream to the last digit, and what it need not is left out', async (t) => {
  const user = await userWith(server, 100_000);
  server.upstream.answer(usualMessage);
  const passedOn = {
    system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral', ttl: '1h' } }],
    metadata: { user_id: 'somebody' },
    stop_sequences: ['END'],
    temperature: 0.5,
    top_k: 5,
    top_p: 0.9,
    thinking: { type: 'adaptive' },
    output_config: { effort: 'high', format: { type: 'json_schema', schema: { type: 'object' } } },
    context_management: { edits: [{ type: 'clear_tool_uses_20250919' }] },
    cache_control: { type: 'ephemeral' },
    service_tier: 'auto',
    speed: 'standard',
    tool_choice: { type: 'auto', disable_parallel_tool_use: true },
    tools: [
      {
        name: 'weather',
        description: 'Tells the weather',
        input_schema: { type: 'object', maximum: 12345678901234567890n },
      },
      { type: 'custom', name: 'patch', input_schema: { type: 'object' } },
      { type: 'bash_20250124', name: 'bash' },
      { type: 'text_editor_20250728', name: 'str_replace_based_edit_tool' },
      { type: 'computer_20251124', name: 'computer', display_width_px: 1, display_height_px: 1 },
      { type: 'memory_20250818', name: 'memory' },
      { type: 'tool_search_tool_regex_20251119', name: 'tool_search_tool_regex' },
    ],
  };
  const leftOut = { diagnostics: {}, user_profile_id: 'u', fallbacks: [{ model: 'dear' }], usage: { include: true } };
  const toJson = (value: object) =>
    JSON.stringify(value, (_name, member) => (typeof member === 'bigint' ? `#${member}#` : member)).replaceAll(
      /"#|#"/g,
      '',
    );
  const body = toJson({ ...MESSAGE, ...passedOn, ...leftOut, container: null, mcp_servers: [] });
  const response = await user.as('POST', '/v1/messages', body, { 'content-type': 'application/json' });
  t.equal(response.statusCode, 200, response.payload);
  const request = server.upstream.requests.at(-1);
  t.match(request?.text, '12345678901234567890');
  t.strictSame(request?.body, JSON.parse(toJson({ ...MESSAGE, ...passedOn, mcp_servers: [], stream: false })));
  await server.verifyLedger(t);
});

t.test('a field that nobody knows is refused, unless it comes with beta features', async (t) => {
  const user = await userWith(server, 1_000);
  server.upstream.answer(usualMessage);
  const body = { ...MESSAGE, brand_new: true };
  const refused = await user.as('POST', '/v1/messages', body);
  t.match(
    [refused.statusCode, refused.json().error],
    [400, { type: 'invalid_request_error', param: 'brand_new', message: /^brand_new / }],
  );
  t.equal((await user.as('POST', '/v1/messages', body, { 'anthropic-beta': 'brand-new-2027-01-01' })).statusCode, 200);
  t.notOk('brand_new' in (server.upstream.requests.at(-1)?.body ?? {}));
  t.equal(server.upstream.requests.at(-1)?.body['model'], MODEL);
  await server.verifyLedger(t);
});

t.end();
