import { Writable } from 'node:stream';
import { openChatServer, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import { refusal, usualMessage } from '../../helpers/fakes/anthropic.js';
import { whole } from '../../helpers/fakes/openrouter.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { createKey, MESSAGE, sendWithKey } from '../../helpers/messages.js';
import t from '../../helpers/run/tap.js';

const SECRET = 'sk-internal';
const lines: string[] = [];
const log = new Writable({
  write: (line, _encoding, done) => {
    lines.push(String(line));
    done();
  },
});
const server = await openChatServer(t, { environment: { LOG_LEVEL: 'info' }, log });

t.test("every error below /v1/messages is in Anthropic's form", async (t) => {
  const user = await userWith(server, 0);
  const json = { 'content-type': 'application/json' };
  const cases: readonly (readonly [
    method: 'GET' | 'POST' | 'PUT',
    path: string,
    status: number,
    type: string,
    payload?: string | undefined,
    headers?: object,
  ])[] = [
    ['GET', '/v1/messages', 405, 'invalid_request_error'],
    ['PUT', '/v1/messages', 405, 'invalid_request_error', '{}', json],
    ['GET', '/v1/messages?beta=true', 405, 'invalid_request_error'],
    ['GET', '/v1/messages/count_tokens', 405, 'invalid_request_error'],
    ['POST', '/v1/messages/batches', 404, 'not_found_error', '{}', json],
    ['GET', '/v1/messages/%zz', 400, 'invalid_request_error'],
    ['GET', '/v1/files', 404, 'not_found_error', undefined, { 'anthropic-version': '2023-06-01' }],
    ['POST', '/v1/messages', 400, 'invalid_request_error', '{', json],
    ['POST', '/v1/messages', 400, 'invalid_request_error', '', json],
    ['POST', '/v1/messages', 400, 'invalid_request_error', '[]', json],
    ['POST', '/v1/messages', 400, 'invalid_request_error', '{"__proto__":1}', json],
    ['POST', '/v1/messages', 415, 'invalid_request_error', 'x', { 'content-type': 'application/xml' }],
    ['POST', '/v1/messages', 413, 'request_too_large', 'x'.repeat(21 * 1024 * 1024), json],
    ['POST', '/v1/messages', 402, 'billing_error', JSON.stringify(MESSAGE), json],
  ];
  for (const [method, path, status, type, payload, headers = {}] of cases) {
    for (const prefix of ['', '/api']) {
      const response = await user.as(method, `${prefix}${path}`, payload, { ...headers });
      t.equal(response.statusCode, status, `${method} ${path}`);
      t.match(
        response.json(),
        { type: 'error', error: { type, message: String }, request_id: String },
        `${method} ${path}`,
      );
      t.equal(response.headers['request-id'], response.json().request_id);
      t.equal(response.headers['x-request-id'], response.json().request_id);
    }
  }
  for (const path of ['/v1/messages', '/v1/messages/count_tokens', '/v1/messages/nowhere']) {
    const anonymous = await server.app.inject({ method: 'POST', url: path, payload: MESSAGE });
    const isRoute = !path.endsWith('nowhere');
    t.match(
      [anonymous.statusCode, anonymous.json().error.type],
      isRoute ? [401, 'authentication_error'] : [404, 'not_found_error'],
      path,
    );
  }
  const odd = await user.as('POST', '/v1/chat/completions', {}, { 'anthropic-version': '2023-06-01' });
  t.match([odd.statusCode, odd.json().error], [400, { type: 'invalid_request_error', param: 'messages' }]);
  t.match((await user.as('GET', '/v1/messagesx')).json().error, { type: 'invalid_request_error', code: 'not_found' });
  await server.verifyLedger(t);
});

t.test('what is wrong with a request is named', async (t) => {
  const user = await userWith(server, 1_000);
  const hello = MESSAGE.messages;
  const cases: readonly (readonly [body: object, param: string])[] = [
    [{ model: undefined }, 'model'],
    [{ max_tokens: undefined }, 'max_tokens'],
    [{ max_tokens: -1 }, 'max_tokens'],
    [{ max_tokens: 1.5 }, 'max_tokens'],
    [{ max_tokens: '100' }, 'max_tokens'],
    [{ messages: undefined }, 'messages'],
    [{ messages: [] }, 'messages'],
    [{ messages: [{ content: 'x' }] }, 'messages[0].role'],
    [{ messages: [...hello, { role: 'tool', content: 'x' }] }, 'messages[1].role'],
    [{ messages: [{ role: 'user', content: 1 }] }, 'messages[0].content'],
    [{ messages: [{ role: 'user', content: [{ text: 'x' }] }] }, 'messages[0].content'],
    [{ system: 1 }, 'system'],
    [{ stream: 'yes' }, 'stream'],
  ];
  for (const [fields, param] of cases) {
    const response = await user.as('POST', '/v1/messages', { ...MESSAGE, ...fields });
    t.equal(response.statusCode, 400, JSON.stringify(fields));
    const { error } = response.json<{ error: { param?: string; message: string } }>();
    t.ok(error.param?.startsWith(param), `${error.param} is ${param}: ${error.message}`);
  }
  await server.verifyLedger(t);
});

t.test('an empty balance is a bill, which clients do not send again', async (t) => {
  const user = await userWith(server, 5);
  const asked = server.upstream.requests.length;
  for (const stream of [false, true]) {
    const response = await user.as('POST', '/v1/messages', { ...MESSAGE, stream });
    t.match([response.statusCode, response.headers['x-should-retry']], [402, 'false']);
    t.match(response.json().error, {
      type: 'billing_error',
      code: 'insufficient_tokens',
      message: /Insufficient tokens/,
    });
  }
  t.equal(server.upstream.requests.length, asked);
  t.match(await readBalance(server, user), { used: 0, reserved: 0 });
  await server.verifyLedger(t);
});

/** What upstream answers, and what clients are told. */
const REFUSALS: readonly (readonly [
  name: string,
  how: ReturnType<typeof refusal>,
  status: number,
  error: object,
  headers?: object,
])[] = [
  [
    'a prompt that is too long, in the words that have clients shorten it',
    refusal(400, 'invalid_request_error', `prompt is too long: 210000 tokens > 200000 maximum ${SECRET}`),
    400,
    { type: 'invalid_request_error', reason: 'context_length_exceeded', message: /^prompt is too long/ },
  ],
  [
    'a request that upstream finds wrong',
    refusal(400, 'invalid_request_error', `messages.1: bad ${SECRET}`),
    400,
    { type: 'invalid_request_error', code: 'upstream_refused' },
  ],
  [
    'a model upstream does not have',
    refusal(404, 'not_found_error', `model: nobody/nothing is not a valid model ID ${SECRET}`),
    404,
    { type: 'not_found_error', reason: 'model_not_found' },
  ],
  [
    'a request too large for upstream',
    refusal(413, 'request_too_large', SECRET),
    413,
    { type: 'request_too_large', reason: 'request_too_large' },
  ],
  [
    'a busy upstream',
    refusal(429, 'rate_limit_error', SECRET, { 'retry-after': '7' }),
    429,
    { type: 'rate_limit_error', reason: 'rate_limited', retry_after: 7 },
    { 'retry-after': '7' },
  ],
  [
    'an overloaded upstream',
    refusal(529, 'overloaded_error', SECRET, { 'retry-after': '3' }),
    529,
    { type: 'overloaded_error', reason: 'overloaded' },
    { 'retry-after': '3' },
  ],
  ['an upstream that fails', refusal(500, 'api_error', SECRET), 502, { type: 'api_error', code: 'upstream_failed' }],
  ['our own key, which is bad', refusal(401, 'authentication_error', SECRET), 503, { type: 'api_error' }],
  ['our own account, which is empty', refusal(402, 'billing_error', SECRET), 503, { type: 'api_error' }],
  [
    'our own account, which is empty, with another status',
    refusal(400, 'billing_error', SECRET),
    503,
    { type: 'api_error', code: 'upstream_unavailable' },
  ],
  [
    'an error with the status of an answer',
    whole({ type: 'error', error: { type: 'overloaded_error', message: SECRET } }),
    529,
    { type: 'overloaded_error', reason: 'overloaded' },
  ],
  ['an answer of another format', whole({ choices: [{ message: { content: SECRET } }] }), 502, { type: 'api_error' }],
  ['a message without content', whole({ type: 'message', role: 'assistant' }), 502, { type: 'api_error' }],
  ['a message whose content is text', whole({ type: 'message', content: SECRET }), 502, { type: 'api_error' }],
];

for (const [name, how, status, error, headers = {}] of REFUSALS) {
  t.test(`${name} is free, and told in our words`, async (t) => {
    const user = await userWith(server, 1_000);
    server.upstream.answer(how);
    const response = await user.as('POST', '/v1/messages', MESSAGE);
    t.equal(response.statusCode, status, response.payload);
    t.match(response.json(), { type: 'error', error, request_id: String });
    t.match(response.headers, headers);
    t.notMatch(response.payload, SECRET);
    t.match(await readBalance(server, user), { used: 0, reserved: 0 });
    await server.verifyLedger(t);
  });
}

t.test('an answer that breaks off is settled at its hold, and is not to be asked for again', async (t) => {
  const user = await userWith(server, 1_000);
  server.upstream.answer(async (response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    await new Promise((written) => response.write('{"type":"message","content":[', written));
    response.destroy();
  });
  const response = await user.as('POST', '/v1/messages', MESSAGE);
  t.match([response.statusCode, response.headers['x-should-retry']], [504, 'false']);
  t.match(response.json(), { type: 'error', error: { type: 'timeout_error' } });
  t.match(await readGenerations(server, user), [{ status: 'settled', provenance: 'estimated', output_tokens: 100 }]);
  await server.verifyLedger(t);
});

t.test('without an upstream it says so, once', async (t) => {
  const off = await openTestServer(t);
  const user = await userWith(off, 1_000);
  for (const path of ['/v1/messages', '/v1/messages/count_tokens']) {
    const response = await user.as('POST', path, MESSAGE);
    t.match([response.statusCode, response.headers['x-should-retry']], [503, 'false'], path);
    t.match(response.json(), { type: 'error', error: { type: 'api_error', code: 'chat_disabled' } });
  }
});

t.test('browsers may send what the clients send, and read what is for them', async (t) => {
  const preflight = await server.app.inject({
    method: 'OPTIONS',
    url: '/v1/messages',
    headers: {
      origin: 'https://example.com',
      'access-control-request-method': 'POST',
      'access-control-request-headers':
        'anthropic-beta,anthropic-dangerous-direct-browser-access,anthropic-version,content-type,x-api-key,x-stainless-lang',
    },
  });
  t.equal(preflight.statusCode, 204);
  t.match(preflight.headers['access-control-allow-headers'], /x-api-key/);
  t.match(preflight.headers['access-control-allow-headers'], /anthropic-dangerous-direct-browser-access/);
  const response = await server.app.inject({
    method: 'POST',
    url: '/v1/messages',
    headers: { origin: 'https://example.com' },
    payload: MESSAGE,
  });
  t.match(response.headers['access-control-expose-headers'], /(^|, ?)request-id/);
});

t.test('keys and words of upstream stand in no log', async (t) => {
  const user = await userWith(server, 1_000);
  const key = await createKey(user);
  server.upstream.answer(usualMessage);
  await sendWithKey(server, key, '/v1/messages', MESSAGE);
  await sendWithKey(server, `${key}x`, '/v1/messages', MESSAGE);
  server.app.log.info({ headers: { 'x-api-key': key }, req: { headers: { 'x-api-key': key } } }, 'headers');
  t.ok(
    lines.some((line) => line.includes('"route":"/v1/messages"')),
    'the requests are logged',
  );
  t.notMatch(lines.join(''), key);
  t.notMatch(lines.join(''), SECRET);
  t.notMatch(lines.join(''), MESSAGE.messages[0]?.content);
});

t.end();
