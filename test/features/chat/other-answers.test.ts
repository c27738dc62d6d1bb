import { openChatServer, QUESTION, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import { message, usualMessageStream } from '../../helpers/fakes/anthropic.js';
import { type Answering, completion, streaming, usualStream, whole } from '../../helpers/fakes/openrouter.js';
import { response, message as responseItem, usualEvents } from '../../helpers/fakes/responses.js';
import { MESSAGE } from '../../helpers/messages.js';
import t from '../../helpers/run/tap.js';

const SECRET = 'upstream says something internal';
const server = await openChatServer(t);

const asType =
  (type: string | undefined, body: string): Answering =>
  (httpResponse) => {
    httpResponse.writeHead(200, type === undefined ? {} : { 'content-type': type }).end(body);
  };

const FORMATS: readonly (readonly [path: string, body: object, stream: string, answer: object])[] = [
  ['/api/chat/stream', QUESTION, usualStream(), completion()],
  ['/api/v1/chat/completions', { ...QUESTION, model: 'openai/gpt-4' }, usualStream(), completion()],
  ['/api/v1/responses', { input: 'Hello!', model: 'openai/gpt-4' }, usualEvents(), response([responseItem('Hello!')])],
  ['/api/v1/messages', MESSAGE, usualMessageStream(), message()],
];

for (const [path, body, stream, answer] of FORMATS) {
  const other: readonly (readonly [name: string, isStreaming: boolean, how: Answering])[] = [
    ['a whole answer to a request for a stream', true, whole(answer)],
    ['a stream to a request for a whole answer', false, streaming(stream)],
    ['a stream that is said to be text', true, asType('text/plain', stream)],
    ['a stream that is said to be JSON', false, asType('application/json', stream)],
    ['JSON that is said to be a stream', true, asType('text/event-stream', JSON.stringify(answer))],
    ['a whole answer that is not said to be anything', false, asType(undefined, JSON.stringify(answer))],
  ];
  for (const [name, isStreaming, how] of other) {
    t.test(`${path}: ${name} is not passed on, and is billed as it says`, async (t) => {
      const user = await userWith(server, 10_000);
      server.upstream.answer(how);
      const refused = await user.as('POST', path, { ...body, stream: isStreaming });
      t.match(refused.payload, /upstream_failed|api_error/i);
      t.notMatch(refused.payload, /Hello/);
      // A stream has begun before it is read.
      if (refused.statusCode !== 200) {
        t.equal(refused.statusCode, 502, refused.payload);
        t.equal(refused.headers['x-should-retry'], 'false');
      }
      t.match(await readBalance(server, user), { used: 20, reserved: 0 });
      t.match(await readGenerations(server, user), [{ status: 'settled', provenance: 'provider_final' }]);
      await server.verifyLedger(t);
    });
  }

  t.test(`${path}: what is no answer at all is free, whatever it is said to be`, async (t) => {
    const html = `<!doctype html><html>${SECRET}</html>`;
    for (const isStreaming of [true, false]) {
      for (const type of ['text/html', 'application/json', 'text/event-stream', 'text/plain']) {
        const user = await userWith(server, 10_000);
        server.upstream.answer(asType(type, html));
        const { payload } = await user.as('POST', path, { ...body, stream: isStreaming });
        t.match(payload, /upstream_failed|api_error/i, `${type}: ${payload}`);
        t.notMatch(payload, SECRET);
        t.match(await readBalance(server, user), { used: 0, reserved: 0 }, type);
      }
    }
    await server.verifyLedger(t);
  });

  t.test(`${path}: an error that comes as JSON instead of a stream is told as what it is`, async (t) => {
    const user = await userWith(server, 10_000);
    server.upstream.answer(whole({ type: 'error', error: { code: 429, message: SECRET } }));
    const refused = await user.as('POST', path, { ...body, stream: true });
    t.equal(refused.statusCode, 429, refused.payload);
    t.notMatch(refused.payload, SECRET);
    t.ok(Number(refused.headers['retry-after']) >= 1);
    t.match(await readBalance(server, user), { used: 0, reserved: 0 });
    await server.verifyLedger(t);
  });

  t.test(`${path}: a byte order mark before an answer is no part of it`, async (t) => {
    const user = await userWith(server, 10_000);
    server.upstream.answer(asType('application/json', `\uFEFF${JSON.stringify(answer)}`));
    const answered = await user.as('POST', path, { ...body, stream: false });
    t.equal(answered.statusCode, 200, answered.payload);
    t.equal(answered.payload.charAt(0), '{');
    t.match(await readBalance(server, user), { used: 20, reserved: 0 });
    server.upstream.answer(streaming(`\uFEFF${stream}`));
    const streamed = await user.as('POST', path, { ...body, stream: true });
    t.notMatch(streamed.payload, /upstream_failed|api_error/i);
    t.match(await readBalance(server, user), { used: 40, reserved: 0 });
    await server.verifyLedger(t);
  });
}

t.test('contract 4 passes on every digit of an answer', async (t) => {
  const user = await userWith(server, 10_000);
  const text = JSON.stringify(completion()).replace('{', '{"seed":9007199254740993,"score":1e400,"tokens_left":7,');
  server.upstream.answer(asType('application/json', `${text}\n `));
  const answered = await user.as('POST', '/api/chat/stream', { ...QUESTION, stream: false });
  t.ok(answered.payload.includes('"seed":9007199254740993,"score":1e400'), answered.payload);
  t.match(answered.json(), { tokens_left: 9_980, tokens_used: 20, choices: [{}] });
  await server.verifyLedger(t);
});

t.end();
