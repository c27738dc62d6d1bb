import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { PassThrough, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { createClientStream } from '../../../src/features/chat/stream/client-stream.js';
import { openChatServer, QUESTION, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import { type Answering, COMMENT, DONE, startStream, textChunk, usageChunk } from '../../helpers/fakes/openrouter.js';
import t from '../../helpers/run/tap.js';
import { until, untilTrue } from '../../helpers/until.js';

const server = await openChatServer(t, { environment: { OPENROUTER_TIMEOUT: '1s' } });
const url = await server.listen();

/** Says the same again and again, for as long as anybody listens. */
const repeating =
  (words: string): Answering =>
  (response) => {
    if (!response.headersSent) startStream(response);
    const timer = setInterval(() => response.write(words), 100);
    response.on('close', () => clearInterval(timer));
  };

/** Asks, and goes away as soon as anything has come. */
async function askAndLeave(token: string): Promise<void> {
  const client = httpRequest(`${url}/api/chat/stream`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  });
  client.on('error', () => {});
  client.end(JSON.stringify(QUESTION));
  const [response] = await once(client, 'response');
  await once(response, 'data');
  client.destroy();
}

const SILENT: readonly (readonly [name: string, words: string])[] = [
  ['comments', COMMENT],
  ['pings', 'event: ping\ndata: {"type":"ping"}\n\n'],
  ['blank lines', '\n\n'],
  ['the letters of a line without end', 'x'],
];
for (const [name, words] of SILENT) {
  t.test(`an upstream that sends only ${name} is silent, and the stream ends`, async (t) => {
    const user = await userWith(server, 10_000);
    server.upstream.answer(repeating(words));
    const { payload } = await user.as('POST', '/api/chat/stream', QUESTION);
    t.match(payload, /UPSTREAM_TIMEOUT/);
    t.match(await readGenerations(server, user), [{ status: 'settled', provenance: 'estimated' }]);
    await server.verifyLedger(t);
  });
}

t.test('white space is no part of an answer that comes whole', async (t) => {
  const user = await userWith(server, 10_000);
  server.upstream.answer((response, request) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    return repeating(' \n')(response, request);
  });
  const response = await user.as('POST', '/api/chat/stream', { ...QUESTION, stream: false });
  t.match([response.statusCode, response.json().code], [504, 'UPSTREAM_TIMEOUT']);
  await server.verifyLedger(t);
});

t.test('a silent stream whose client has gone is ended and settled as well', async (t) => {
  const user = await userWith(server, 10_000);
  server.upstream.answer(repeating(COMMENT));
  const aborted = server.upstream.aborted();
  await askAndLeave(user.token);
  await untilTrue(() => server.upstream.aborted() > aborted);
  await untilTrue(async () => (await readGenerations(server, user))[0]?.status === 'settled');
  t.equal((await readBalance(server, user)).reserved, 0);
  await server.verifyLedger(t);
});

t.test('a stream without end that nobody reads ends, and is paid for as far as it came', async (t) => {
  const user = await userWith(server, 10_000);
  server.upstream.answer(repeating(textChunk('word ', 'gen-1', 'Google')));
  const aborted = server.upstream.aborted();
  await askAndLeave(user.token);
  await untilTrue(() => server.upstream.aborted() > aborted);
  const generation = await until('it is settled', async () => {
    const [found] = await readGenerations(server, user);
    return found?.status === 'settled' ? found : undefined;
  });
  t.match(generation, { provenance: 'estimated', upstream_id: 'gen-1' });
  t.ok((generation.output_tokens ?? 0) >= 20, 'it went on for a while, as it had to be paid for');
  await server.verifyLedger(t);
});

t.test('a stream that says something now and then goes on', async (t) => {
  const user = await userWith(server, 10_000);
  server.upstream.answer((response) => {
    startStream(response);
    let count = 0;
    const timer = setInterval(() => {
      count += 1;
      response.write(COMMENT + (count % 5 === 0 ? textChunk('word ') : ''));
      if (count < 25) return;
      clearInterval(timer);
      response.end(usageChunk(7, 5) + DONE);
    }, 100);
  });
  const { payload } = await user.as('POST', '/api/chat/stream', QUESTION);
  t.match(payload, /"tokens_used":12/);
  await server.verifyLedger(t);
});

t.test('while nothing comes, comments keep the line open, until the end', async (t) => {
  const client = createClientStream(20);
  const out = client.body.pipe(new PassThrough());
  let heard = '';
  out.on('data', (piece) => {
    heard += String(piece);
  });
  client.write('data: one\n\n');
  await untilTrue(() => heard.split(': keep-alive\n\n').length > 2);
  client.end('data: two\n\n');
  await once(out, 'end');
  t.match(heard, /^data: one\n\n(: keep-alive\n\n)+data: two\n\n$/);
});

t.test('a client that does not read is sent no comments', async (t) => {
  const client = createClientStream(5);
  const out = client.body.pipe(new Writable({ highWaterMark: 1, write: () => {} }));
  void client.write('data: one\n\n');
  let turns = 0;
  const clock = setInterval(() => {
    turns += 1;
  }, 5);
  await untilTrue(() => turns > 5);
  clearInterval(clock);
  t.equal(out.writableLength, 'data: one\n\n'.length);
  client.body.destroy();
});

t.test('what is written before there is a response comes first, and an end that was early comes last', async (t) => {
  const client = createClientStream();
  client.write('data: one\n\n');
  await client.end('data: two\n\n');
  t.equal(await text(client.body.pipe(new PassThrough())), 'data: one\n\ndata: two\n\n');
});

t.end();
