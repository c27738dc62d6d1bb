import {
  openChatServer,
  parseEvents,
  parseTokenUpdate,
  QUESTION,
  readBalance,
  readGenerations,
  userWith,
} from '../../helpers/chat.js';
import { completion, DONE, UPSTREAM_KEY, usualStream, whole } from '../../helpers/fakes/openrouter.js';
import t from '../../helpers/run/tap.js';

const server = await openChatServer(t);

t.test("a stream is upstream's, byte for byte, then the balance, then the end", async (t) => {
  const user = await userWith(server, 1_000);
  const { statusCode, headers, payload } = await user.as('POST', '/api/chat/stream', QUESTION);
  t.equal(statusCode, 200, payload);
  t.match(headers['content-type'], /^text\/event-stream/);
  const [passed = ''] = usualStream().split(DONE);
  const update = 'data: {"type":"token_update","tokens_left":980,"tokens_used":20}\n\n';
  t.equal(payload, `${passed}${update}${DONE}`);
  t.strictSame(await readBalance(server, user), { allocated: 1_000, used: 20, reserved: 0, debt: 0 });
  await server.verifyLedger(t);
});

t.test('upstream is asked with the key of the server, for the standard model, and for usage', async (t) => {
  const user = await userWith(server, 1_000_000);
  await user.as('POST', '/chat/stream', { ...QUESTION, max_tokens: 50 });
  const asked = server.upstream.requests.at(-1);
  t.equal(asked?.path, '/api/v1/chat/completions');
  t.equal(asked?.headers.authorization, `Bearer ${UPSTREAM_KEY}`);
  t.strictSame(asked?.body, {
    temperature: 0.7,
    messages: QUESTION.messages,
    max_tokens: 50,
    model: 'openai/gpt-4',
    stream: true,
    stream_options: { include_usage: true },
    usage: { include: true },
  });
});

t.test('stream: false gives one JSON answer with what is left', async (t) => {
  const user = await userWith(server, 1_000);
  const response = await user.as('POST', '/api/chat/stream', { ...QUESTION, stream: false, model: 'a/b' });
  t.equal(response.statusCode, 200);
  t.strictSame(response.json(), { ...completion(), tokens_left: 980, tokens_used: 20 });
  t.equal(response.headers['x-tokens-remaining'], '980');
  t.equal(response.headers['x-tokens-used'], '20');
  const [generation] = await readGenerations(server, user);
  t.match(generation, { status: 'settled', provenance: 'provider_final', provider: 'openai', upstream_id: 'gen-1' });
  await server.verifyLedger(t);
});

t.test('without tokens the answer is the sentence of the contract, and upstream hears nothing', async (t) => {
  const user = await userWith(server, 0);
  const before = server.upstream.requests.length;
  const response = await user.as('POST', '/api/chat/stream', QUESTION);
  t.equal(response.statusCode, 403);
  t.match(response.json(), {
    detail: 'Insufficient tokens. Please contact support to add more tokens.',
    code: 'INSUFFICIENT_TOKENS',
    remaining: 0,
  });
  t.equal(server.upstream.requests.length, before);
});

t.test('without any credential, or with a bad one, the answer is 401', async (t) => {
  for (const headers of [{}, { authorization: 'Bearer x.y.z' }]) {
    const response = await server.app.inject({ method: 'POST', url: '/api/chat/stream', payload: QUESTION, headers });
    t.equal(response.statusCode, 401, response.payload);
  }
});

t.test('max_tokens is clamped to what is left, and the prompt is paid for as well', async (t) => {
  const user = await userWith(server, 100);
  server.upstream.answer(whole(completion(10, 5)));
  await user.as('POST', '/api/chat/stream', { ...QUESTION, stream: false, max_tokens: 4_000 });
  const limit = server.upstream.requests.at(-1)?.body['max_tokens'];
  t.ok(typeof limit === 'number' && limit > 0 && limit < 100, `asked for ${limit}`);
  t.strictSame(await readBalance(server, user), { allocated: 100, used: 15, reserved: 0, debt: 0 });
  await server.verifyLedger(t);
});

t.test('text and images may be in a message; unknown roles and parts are refused', async (t) => {
  const user = await userWith(server, 1_000_000);
  server.upstream.answer(whole(completion()));
  const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=', detail: 'low' } };
  const content = [{ type: 'text', text: 'What is this?', cache_control: { type: 'ephemeral' } }, image];
  const good = { stream: false, messages: [{ role: 'user', content }] };
  t.equal((await user.as('POST', '/api/chat/stream', good)).statusCode, 200);
  t.strictSame(server.upstream.requests.at(-1)?.body['messages'], good.messages);
  const bad: object[] = [
    { messages: [] },
    { messages: [{ role: 'tool', content: 'x' }] },
    { messages: [{ role: 'user', content: [{ type: 'video', text: 'x' }] }] },
    { messages: [{ role: 'user', content: [{ ...image, image_url: { url: 'file:///etc/passwd' } }] }] },
    { ...QUESTION, temperature: 3 },
    { ...QUESTION, max_tokens: 0 },
    { ...QUESTION, max_tokens: 1.5 },
    { ...QUESTION, model: 'a b' },
    { ...QUESTION, stream: 'yes' },
  ];
  const before = server.upstream.requests.length;
  for (const body of bad) {
    const response = await user.as('POST', '/api/chat/stream', body);
    t.equal(response.statusCode, 400, JSON.stringify(body));
    t.equal(response.json().code, 'VALIDATION_FAILED');
  }
  t.equal(server.upstream.requests.length, before);
});

t.test('an API key pays as its owner', async (t) => {
  const user = await userWith(server, 1_000);
  const { key } = (await user.as('POST', '/api/users/me/api-keys', { name: 'script' })).json<{ key: string }>();
  server.upstream.answer((response, request) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(usualStream(1, 2));
    t.notMatch(JSON.stringify(request), key);
  });
  const headers = { authorization: `Bearer ${key}` };
  const { payload } = await server.app.inject({ method: 'POST', url: '/chat/stream', payload: QUESTION, headers });
  t.strictSame(parseTokenUpdate(payload), { type: 'token_update', tokens_left: 997, tokens_used: 3 });
  t.equal(parseEvents(payload).at(-1), '[DONE]');
  await server.verifyLedger(t);
});

t.end();
