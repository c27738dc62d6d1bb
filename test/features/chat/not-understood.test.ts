import {
  openChatServer,
  parseEvents,
  parseTokenUpdate,
  QUESTION,
  readBalance,
  readGenerations,
  userWith,
} from '../../helpers/chat.js';
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

const SECRET = 'upstream says something internal';
const server = await openChatServer(t);
const url = await server.listen();
const event = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;

const NOT_UNDERSTOOD: readonly (readonly [name: string, event: string])[] = [
  ['text', `data: ${SECRET}\n\n`],
  ['a JSON string', event(SECRET)],
  ['a JSON list', event([SECRET])],
  ['a number', 'data: 7\n\n'],
  ['null', 'data: null\n\n'],
  ['half a chunk', `data: {"choices":[{"delta":{"content":"${SECRET}\n\n`],
  ['an HTML page', `<!doctype html>\n<html><body>${SECRET}</body></html>\n\n`],
  ['HTML as data', `data: <html>${SECRET}</html>\n\n`],
  ['JSON that is no event', `${JSON.stringify({ error: { message: SECRET } })}\n\n`],
  ['an error event', `event: error\ndata: ${JSON.stringify({ message: SECRET })}\n\n`],
  ['an error event of text', `event: error\ndata: ${SECRET}\n\n`],
  ['an error event that looks like a chunk', `event: error\n${textChunk(SECRET)}`],
  ['an error event without data', 'event: error\n\n'],
  ["Anthropic's error", event({ type: 'error', error: { type: 'api_error', message: SECRET } })],
  ["vLLM's error", event({ object: 'error', message: SECRET, code: 500 })],
  ["FastAPI's error", event({ detail: SECRET })],
  ["a gateway's error", event({ code: 500, msg: SECRET, success: false })],
  ["AWS's error", event({ Message: SECRET })],
  ['an error that is text', event({ error: SECRET })],
  ['an error in a choice', chunk({ choices: [{ delta: {}, error: { code: 502, message: SECRET } }] })],
  ['an error beside no choices', chunk({ choices: [], message: SECRET })],
  ['choices that are no list', chunk({ choices: { 0: { delta: { content: SECRET } } } })],
  ['choices that are text', chunk({ choices: SECRET })],
  ['an object of its own', event({ reason: SECRET })],
];

for (const [name, bad] of NOT_UNDERSTOOD) {
  t.test(`${name} becomes our error, and what had been produced is billed`, async (t) => {
    for (const [path, says] of [
      ['/api/chat/stream', '"code":"UPSTREAM_FAILED"'],
      ['/api/v1/chat/completions', '"code":"upstream_failed"'],
    ] as const) {
      const user = await userWith(server, 1_000);
      server.upstream.answer(streaming(textChunk('Hello') + bad + usageChunk(7, 3) + DONE));
      const { payload } = await user.as('POST', path, { ...QUESTION, model: 'openai/gpt-4', stream: true });
      t.notMatch(payload, SECRET);
      t.match(payload, says);
      t.ok(payload.endsWith(DONE));
      t.match(await readBalance(server, user), { used: 10, reserved: 0 });
      t.match(await readGenerations(server, user), [{ status: 'settled', provenance: 'provider_final' }]);
    }
    await server.verifyLedger(t);
  });
}

const BETWEEN: readonly (readonly [name: string, between: string])[] = [
  ['a ping', event({ type: 'ping' })],
  ['a ping by its name', `event: ping\ndata: {"time":"${SECRET}"}\n\n`],
  ['an empty object', 'data: {}\n\n'],
  ['data without anything', 'data:\n\n'],
  ['a comment of its own', `: ${SECRET}\n\n`],
  ['a comment within a chunk', `: ${SECRET}\n${textChunk('')}`],
  ['other fields', `id: ${SECRET}\nretry: 1\n\n`],
  ['a chunk without choices', chunk({})],
  ['an error that is null', chunk({ error: null, choices: [] })],
  ['an error that is empty', chunk({ error: '', choices: [] })],
  ['an error that is false', chunk({ error: false, choices: [{ index: 0, delta: {}, finish_reason: null }] })],
  ['a model that writes about errors', textChunk('{"error": "errors", "message": "finish_reason"}')],
];
for (const [name, between] of BETWEEN) {
  t.test(`${name} is no error`, async (t) => {
    const user = await userWith(server, 1_000);
    server.upstream.answer(streaming(textChunk('one') + between + textChunk(' two') + usageChunk(7, 13) + DONE));
    const { payload } = await user.as('POST', '/api/chat/stream', QUESTION);
    t.match(payload, / two/);
    t.notMatch(payload, SECRET);
    t.notMatch(payload, /UPSTREAM_FAILED/);
    t.match(parseTokenUpdate(payload), { tokens_used: 20 });
    await server.verifyLedger(t);
  });
}

const ARGUMENTS = chunk({
  choices: [{ index: 0, delta: { tool_calls: [{ index: 0, function: { name: 'f', arguments: '{"ci' } }] } }],
});
const CUT: readonly (readonly [name: string, stream: string])[] = [
  ['in its text', textChunk('Hello')],
  ["in a tool's arguments", ARGUMENTS],
  ['after its usage', textChunk('Hello') + usageChunk(7, 3)],
  ['where a text speaks of an end', textChunk('"finish_reason":"stop" [DONE]')],
  ['before anything', ''],
  ['after a comment', ': OPENROUTER PROCESSING\n\n'],
];
for (const [name, stream] of CUT) {
  t.test(`a stream that just ends ${name} ends with an error`, async (t) => {
    for (const path of ['/api/chat/stream', '/api/v1/chat/completions']) {
      const user = await userWith(server, 1_000);
      server.upstream.answer(streaming(stream));
      const body = { ...QUESTION, model: 'openai/gpt-4', stream: true };
      const events = parseEvents((await user.as('POST', path, body)).payload);
      t.match(events.join('\n'), /upstream_failed/i);
      t.equal(events.at(-1), '[DONE]');
      t.equal((await readBalance(server, user)).used > 0, stream.includes('data'));
    }
    await server.verifyLedger(t);
  });
}

t.test('chunks count and are passed on at once, also where the blank line between them is forgotten', async (t) => {
  const terminators = ['\n', '\r\n'];
  for (const terminator of terminators) {
    const user = await userWith(server, 1_000);
    const released = createDeferred();
    const line = (text: string) => text.replace(/\n\n$/, terminator);
    server.upstream.answer(async (response) => {
      startStream(response);
      response.write(line(textChunk('one')));
      await released.promise;
      response.end([textChunk(' two'), stopChunk(), usageChunk(7, 3), DONE].map(line).join(''));
    });
    const response = await fetch(`${url}/api/chat/stream`, {
      method: 'POST',
      headers: { authorization: `Bearer ${user.token}`, 'content-type': 'application/json' },
      body: JSON.stringify(QUESTION),
    });
    let heard = '';
    const read = async () => {
      for await (const piece of response.body ?? []) heard += Buffer.from(piece).toString();
    };
    const ended = read();
    await untilTrue(() => parseEvents(heard).length === 1 && /\r?\n\r?\n$/.test(heard));
    released.resolve();
    await ended;
    t.equal(parseEvents(heard).filter((data) => data.startsWith('{')).length, 5, heard);
    t.match(parseTokenUpdate(heard), { tokens_used: 10 });
  }
  await server.verifyLedger(t);
});

t.test('an error in an answer that comes whole is told in our words', async (t) => {
  for (const body of [
    { error: { message: SECRET } },
    { choices: [], detail: SECRET },
    { ...completion(), usage: undefined, choices: [{ error: { message: SECRET }, message: { content: null } }] },
    { type: 'error', error: { message: SECRET } },
    { message: SECRET },
    [SECRET],
  ]) {
    const user = await userWith(server, 1_000);
    server.upstream.answer(whole(body));
    const response = await user.as('POST', '/api/chat/stream', { ...QUESTION, stream: false });
    t.equal(response.statusCode, 502, JSON.stringify(body));
    t.notMatch(response.payload, SECRET);
    t.match(await readBalance(server, user), { used: 0, reserved: 0 });
  }
  await server.verifyLedger(t);
});

t.end();
