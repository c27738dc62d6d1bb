import { createServer as createTcpServer } from 'node:net';
import { gzipSync } from 'node:zlib';
import { openChatServer, parseEvents, QUESTION, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import {
  type Answering,
  completion,
  startStream,
  stopChunk,
  streaming,
  textChunk,
  usageChunk,
  usualStream,
  whole,
} from '../../helpers/fakes/openrouter.js';
import t from '../../helpers/run/tap.js';

const server = await openChatServer(t, { environment: { OPENROUTER_TIMEOUT: '1s' } });
const ASKED = { ...QUESTION, max_tokens: 100 };

/** Begins JSON and goes on as it is told. */
const begun =
  (text: string, goOn: Answering): Answering =>
  async (response, request) => {
    response.writeHead(200, { 'content-type': 'application/json', 'x-generation-id': 'gen-7' });
    await new Promise((written) => response.write(text, written));
    await new Promise((turn) => setImmediate(turn));
    await goOn(response, request);
  };
const silence: Answering = () => {};
/** Answers as a gateway does that passed a request on, and heard nothing. */
const atGateway =
  (status: number): Answering =>
  (response) =>
    void response
      .writeHead(status, { 'content-type': 'text/html', 'x-generation-id': 'gen-7' })
      .end('<h1>Time-out</h1>');
const cut: Answering = (response) => void response.destroy();
const compressed =
  (type: string, body: string): Answering =>
  (response) => {
    response.writeHead(200, { 'content-type': type, 'content-encoding': 'gzip' }).end(gzipSync(body));
  };

const LOST: readonly (readonly [name: string, how: Answering, status: number, code: string, streams: boolean[]])[] = [
  ['a hang', silence, 504, 'UPSTREAM_TIMEOUT', [true, false]],
  ['a reset', cut, 504, 'UPSTREAM_TIMEOUT', [true, false]],
  ['a gateway that waited in vain', atGateway(504), 504, 'UPSTREAM_TIMEOUT', [true, false]],
  ['a gateway in front of it that waited in vain', atGateway(524), 504, 'UPSTREAM_TIMEOUT', [true, false]],
  ['half an answer, then silence', begun('{"id":"gen-7","cho', silence), 504, 'UPSTREAM_TIMEOUT', [false]],
  ['half an answer, then a reset', begun('{"id":"gen-7","cho', cut), 504, 'UPSTREAM_TIMEOUT', [false]],
  ['nothing but headers, then silence', begun('', silence), 504, 'UPSTREAM_TIMEOUT', [false]],
  [
    'half an answer that ends',
    begun('{"id":"gen-7"', (response) => void response.end()),
    502,
    'UPSTREAM_FAILED',
    [false],
  ],
  ['a compressed stream', compressed('text/event-stream', usualStream()), 502, 'UPSTREAM_FAILED', [true]],
  [
    'a compressed answer',
    compressed('application/json', JSON.stringify(completion())),
    502,
    'UPSTREAM_FAILED',
    [false],
  ],
];

for (const [name, how, status, code, streams] of LOST) {
  for (const stream of streams) {
    t.test(
      `${name} after sending is ${status}, not to be tried again, and costs the hold (stream: ${stream})`,
      async (t) => {
        const user = await userWith(server, 1_000);
        server.upstream.answer(how);
        const ask = () => user.as('POST', '/api/chat/stream', { ...ASKED, stream }, { 'idempotency-key': 'k' });
        const response = await ask();
        t.equal(response.statusCode, status, response.payload);
        t.equal(response.json().code, code);
        t.equal(response.headers['x-should-retry'], 'false');
        const { used, reserved } = await readBalance(server, user);
        t.ok(used > 100, `${used} were used`);
        t.equal(reserved, 0);
        t.match(await readGenerations(server, user), [
          { status: 'settled', provenance: 'estimated', output_tokens: 100 },
        ]);
        const again = await ask();
        t.equal(again.json().code, 'ALREADY_ANSWERED');
        t.equal(again.headers['x-should-retry'], 'false');
        await server.verifyLedger(t);
      },
    );
  }
}

t.test('the id in the header of a lost answer is kept, so that upstream can be asked what it cost', async (t) => {
  const user = await userWith(server, 1_000);
  server.upstream.answer(begun('{"id":', cut));
  await user.as('POST', '/api/chat/stream', { ...ASKED, stream: false });
  t.match(await readGenerations(server, user), [{ upstream_id: 'gen-7' }]);
  await server.verifyLedger(t);
});

t.test(
  'a stream that breaks before anything came costs the hold, and one that upstream ends costs nothing',
  async (t) => {
    const ends: readonly (readonly [string, Answering, boolean])[] = [
      ['silence', silence, true],
      ['a reset', cut, true],
      ['an end', (response) => void response.end(), false],
    ];
    for (const [name, goOn, isBilled] of ends) {
      const user = await userWith(server, 1_000);
      server.upstream.answer(async (response, request) => {
        startStream(response);
        await new Promise((written) => response.write(': OPENROUTER PROCESSING\n\n', written));
        await new Promise((turn) => setImmediate(turn));
        await goOn(response, request);
      });
      const { payload } = await user.as('POST', '/api/chat/stream', ASKED);
      t.match(payload, isBilled ? /UPSTREAM_TIMEOUT/ : /UPSTREAM_FAILED/, name);
      t.equal((await readBalance(server, user)).used > 100, isBilled, name);
      t.equal(parseEvents(payload).at(-1), '[DONE]');
    }
    await server.verifyLedger(t);
  },
);

t.test('a connection that never came about is free, whatever kept it from it', async (t) => {
  const closing = createTcpServer((socket) => socket.destroy());
  await new Promise<void>((listening) => closing.listen(0, '127.0.0.1', listening));
  t.after(() => closing.close());
  const { port }: { port: number } = Object(closing.address());
  const addresses = ['http://127.0.0.1:1/api/v1', `https://127.0.0.1:${port}/api/v1`, 'https://nowhere.invalid/api/v1'];
  for (const OPENROUTER_BASE_URL of addresses) {
    const lonely = await openChatServer(t, { environment: { OPENROUTER_BASE_URL } });
    for (const stream of [true, false]) {
      const user = await userWith(lonely, 1_000);
      const response = await user.as('POST', '/api/chat/stream', { ...ASKED, stream });
      t.match([response.statusCode, response.json().code], [503, 'UPSTREAM_UNAVAILABLE'], OPENROUTER_BASE_URL);
      t.notOk(response.headers['x-should-retry']);
      t.equal(response.headers['retry-after'], '1');
      t.match(await readBalance(lonely, user), { used: 0, reserved: 0 });
    }
    await lonely.verifyLedger(t);
  }
});

t.test('an error answer that reports usage is billed', async (t) => {
  const user = await userWith(server, 1_000);
  server.upstream.answer(whole({ ...completion(7, 3), error: { code: 502, message: 'half-way' } }));
  const response = await user.as('POST', '/api/chat/stream', { ...ASKED, stream: false });
  t.equal(response.statusCode, 502);
  t.equal(response.headers['x-should-retry'], 'false');
  t.match(await readBalance(server, user), { used: 10, reserved: 0 });
  await server.verifyLedger(t);
});

t.test('upstream is asked not to compress, and browsers may read what answers say about trying again', async (t) => {
  const user = await userWith(server, 1_000);
  server.upstream.answer(streaming(textChunk('Hi') + stopChunk() + usageChunk(1, 1)));
  const response = await user.as('POST', '/api/chat/stream', ASKED, { origin: 'https://example.com' });
  t.equal(server.upstream.requests.at(-1)?.headers['accept-encoding'], 'identity');
  t.match(response.headers['access-control-expose-headers'], /x-should-retry/);
  await server.verifyLedger(t);
});

t.end();
