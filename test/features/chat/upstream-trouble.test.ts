import {
  openChatServer,
  parseEvents,
  parseTokenUpdate,
  QUESTION,
  readBalance,
  readGenerations,
  userWith,
} from '../../helpers/chat.js';
import {
  type Answering,
  chunk,
  DONE,
  startStream,
  stopChunk,
  streaming,
  textChunk,
  toUsage,
  usageChunk,
  whole,
} from '../../helpers/fakes/openrouter.js';
import t from '../../helpers/run/tap.js';

const SECRET = 'upstream says something internal';
const server = await openChatServer(t, { environment: { OPENROUTER_TIMEOUT: '1s' } });

const REFUSALS: readonly (readonly [name: string, how: Answering, status: number, code: string])[] = [
  ['400', whole({ error: { message: SECRET } }, 400), 400, 'UPSTREAM_REFUSED'],
  ['401', whole({ error: { message: SECRET } }, 401), 503, 'UPSTREAM_UNAVAILABLE'],
  ['402', whole({ error: { message: SECRET } }, 402), 503, 'UPSTREAM_UNAVAILABLE'],
  ['429', whole({ error: { message: SECRET } }, 429), 429, 'UPSTREAM_RATE_LIMITED'],
  ['500', whole({ error: { message: SECRET } }, 500), 502, 'UPSTREAM_FAILED'],
  [
    'an HTML page',
    (response) => void response.writeHead(200, { 'content-type': 'text/html' }).end(SECRET),
    502,
    'UPSTREAM_FAILED',
  ],
  ['a redirect', (response) => void response.writeHead(302, { location: '/trap' }).end(SECRET), 502, 'UPSTREAM_FAILED'],
];

for (const [name, how, status, code] of REFUSALS) {
  for (const stream of [true, false]) {
    t.test(
      `${name} of upstream is ${status} ${code} and costs nothing, ${stream ? 'streamed' : 'whole'}`,
      async (t) => {
        const user = await userWith(server, 1_000);
        server.upstream.answer(how);
        const before = server.upstream.requests.length;
        const response = await user.as('POST', '/api/chat/stream', { ...QUESTION, stream });
        t.equal(response.statusCode, status, response.payload);
        t.equal(response.json().code, code);
        t.notMatch(response.payload, SECRET);
        t.equal(server.upstream.requests.length, before + 1, 'one request, no redirect is followed');
        t.strictSame(await readBalance(server, user), { allocated: 1_000, used: 0, reserved: 0, debt: 0 });
        t.match(await readGenerations(server, user), [{ status: 'released' }]);
        await server.verifyLedger(t);
      },
    );
  }
}

t.test('an error in the middle is told in our words, and what was said before it is paid for', async (t) => {
  const user = await userWith(server, 1_000);
  const failure = chunk({ error: { code: 502, message: SECRET }, choices: [{ delta: {}, finish_reason: 'error' }] });
  server.upstream.answer(streaming(textChunk('Hello') + failure + DONE));
  const { payload } = await user.as('POST', '/api/chat/stream', QUESTION);
  t.notMatch(payload, SECRET);
  const [, error = '{}', , end] = parseEvents(payload);
  t.match(JSON.parse(error), { type: 'error', code: 'UPSTREAM_FAILED' });
  t.equal(end, '[DONE]');
  const [generation] = await readGenerations(server, user);
  t.match(generation, { status: 'settled', provenance: 'estimated', output_tokens: 1 });
  await server.verifyLedger(t);
});

t.test('an error chunk that comes first is not billed', async (t) => {
  const user = await userWith(server, 1_000);
  server.upstream.answer(streaming(chunk({ error: { code: 502, message: SECRET } })));
  const { payload } = await user.as('POST', '/api/chat/stream', QUESTION);
  t.notMatch(payload, SECRET);
  t.match(parseTokenUpdate(payload), { tokens_left: 1_000, tokens_used: 0 });
  t.strictSame(await readBalance(server, user), { allocated: 1_000, used: 0, reserved: 0, debt: 0 });
  await server.verifyLedger(t);
});

t.test('usage that comes after an error is what is billed', async (t) => {
  const user = await userWith(server, 1_000);
  const failure = chunk({ error: { code: 502, message: SECRET } });
  server.upstream.answer(streaming(textChunk('Hello') + failure + usageChunk(7, 3) + DONE));
  const { payload } = await user.as('POST', '/api/chat/stream', QUESTION);
  t.match(parseTokenUpdate(payload), { tokens_left: 990, tokens_used: 10 });
  await server.verifyLedger(t);
});

for (const [name, break_] of [
  ['falls silent', () => {}],
  ['is cut off', (response) => void response.destroy()],
] as readonly (readonly [string, Answering])[]) {
  t.test(`a stream that ${name} ends with an error, and with what it came to`, async (t) => {
    const user = await userWith(server, 1_000);
    server.upstream.answer(async (response, request) => {
      startStream(response);
      await new Promise((written) => response.write(textChunk('Hello there'), written));
      await new Promise((turn) => setImmediate(turn));
      await break_(response, request);
    });
    const { payload } = await user.as('POST', '/api/chat/stream', QUESTION);
    t.match(payload, /UPSTREAM_FAILED/);
    const update = parseTokenUpdate(payload);
    const { used } = await readBalance(server, user);
    t.ok(used > 5, `${used} tokens were used`);
    t.match(update, { tokens_left: 1_000 - used, tokens_used: used });
    await server.verifyLedger(t);
  });
}

t.test('usage counts wherever it is: in the last chunk, in a chunk of its own, after the finish', async (t) => {
  const withUsage = chunk({
    choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
    usage: toUsage(12, 8),
  });
  const streams = [
    textChunk('Hello') + withUsage + DONE,
    textChunk('Hello') + stopChunk() + usageChunk(12, 8) + DONE,
    textChunk('Hello') + stopChunk() + usageChunk(12, 8),
    (textChunk('Hello') + withUsage + DONE).replaceAll('\n', '\r\n'),
    (textChunk('Hello') + withUsage).trimEnd(),
  ];
  for (const stream of streams) {
    const user = await userWith(server, 1_000);
    server.upstream.answer(streaming(stream));
    const { payload } = await user.as('POST', '/api/chat/stream', QUESTION);
    t.match(parseTokenUpdate(payload), { tokens_left: 980, tokens_used: 20 }, JSON.stringify(stream));
  }
  await server.verifyLedger(t);
});

t.test('a count that is null, negative or absurd is none: that one is counted here, and no other', async (t) => {
  for (const [usage, output] of [
    [null, 4],
    [{ prompt_tokens: null, completion_tokens: 5 }, 5],
    [{ prompt_tokens: -1, completion_tokens: 5 }, 5],
    [{ prompt_tokens: 1e15, completion_tokens: 1 }, 4],
  ] as const) {
    const user = await userWith(server, 1_000);
    server.upstream.answer(streaming(textChunk('one two three four') + chunk({ choices: [], usage }) + DONE));
    const { payload } = await user.as('POST', '/api/chat/stream', QUESTION);
    const [generation] = await readGenerations(server, user);
    t.match(generation, { provenance: 'estimated', output_tokens: output }, JSON.stringify(usage));
    t.match(parseTokenUpdate(payload), { tokens_used: output + (generation?.input_tokens ?? 0) });
  }
  await server.verifyLedger(t);
});

t.test('what upstream sends cut at any byte arrives as it was', async (t) => {
  const user = await userWith(server, 10_000);
  const stream = Buffer.from(textChunk('Grüße 😀 你好') + usageChunk(1, 1));
  for (const size of [1, 2, 3, 7]) {
    server.upstream.answer(async (response) => {
      startStream(response);
      response.socket?.setNoDelay(true);
      for (let start = 0; start < stream.length; start += size) {
        response.write(stream.subarray(start, start + size));
        await new Promise((turn) => setImmediate(turn));
      }
      response.end(DONE);
    });
    const { payload } = await user.as('POST', '/api/chat/stream', QUESTION);
    t.ok(payload.startsWith(stream.toString()), `in pieces of ${size}`);
  }
  await server.verifyLedger(t);
});

t.end();
