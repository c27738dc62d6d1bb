import { request as httpRequest } from 'node:http';
import { openChatServer, QUESTION, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import { createDeferred } from '../../helpers/deferred.js';
import { COMMENT, DONE, startStream, stopChunk, textChunk, usageChunk } from '../../helpers/fakes/openrouter.js';
import { keepLines } from '../../helpers/http/log-lines.js';
import t from '../../helpers/run/tap.js';
import { until, untilTrue } from '../../helpers/until.js';

const { lines, destination: log } = keepLines();
const server = await openChatServer(t, { environment: { LOG_LEVEL: 'info' }, log });
const url = await server.listen();

/** Asks for a stream and goes away when it has said a certain thing, or before it says anything. */
async function goAwayAt(token: string, mark: string | undefined, isUnderWay: () => boolean): Promise<void> {
  const client = httpRequest(`${url}/api/chat/stream`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  });
  client.on('error', () => {});
  let heard = '';
  client.on('response', (response) => {
    response.on('error', () => {});
    response.on('data', (data) => {
      heard += String(data);
    });
  });
  client.end(JSON.stringify(QUESTION));
  await untilTrue(() => (mark === undefined ? isUnderWay() : heard.includes(mark)));
  client.destroy();
}

/** What upstream says up to each point at which somebody may go away. */
const POINTS: readonly (readonly [name: string, mark: string | undefined, before: (provider: string) => string[]])[] = [
  ['at byte 0', undefined, () => []],
  ['after a comment', 'PROCESSING', () => [COMMENT]],
  ['after the first chunk', 'one', (provider) => [textChunk('one ', 'gen-1', provider)]],
  ['half-way', 'three', (provider) => ['one ', 'two ', 'three '].map((text) => textChunk(text, 'gen-1', provider))],
  [
    'after finish_reason, before usage',
    'stop',
    (provider) => [textChunk('one two three', 'gen-1', provider), stopChunk('gen-1', provider)],
  ],
];

for (const [name, mark, before] of POINTS) {
  t.test(`somebody who goes away ${name} pays for all of it where billing goes on`, async (t) => {
    const user = await userWith(server, 1_000);
    const released = createDeferred();
    const asked = server.upstream.requests.length;
    const aborted = server.upstream.aborted();
    server.upstream.answer(async (response) => {
      startStream(response);
      response.flushHeaders();
      for (const text of before('Google')) response.write(text);
      await released.promise;
      response.end(textChunk('four', 'gen-1', 'Google') + usageChunk(30, 12, 'gen-1', 'Google') + DONE);
    });
    await goAwayAt(user.token, mark, () => server.upstream.requests.length > asked);
    released.resolve();
    const generation = await until('it is settled', async () => {
      const [found] = await readGenerations(server, user);
      return found?.status === 'settled' ? found : undefined;
    });
    t.match(generation, { provenance: 'provider_final', input_tokens: 30, output_tokens: 12 });
    t.equal(server.upstream.aborted(), aborted, 'upstream was read to its end');
    t.strictSame(await readBalance(server, user), { allocated: 1_000, used: 42, reserved: 0, debt: 0 });
    await server.verifyLedger(t);
  });

  t.test(`somebody who goes away ${name} pays for what came where billing stops`, async (t) => {
    const user = await userWith(server, 1_000);
    const released = createDeferred();
    const asked = server.upstream.requests.length;
    const aborted = server.upstream.aborted();
    server.upstream.answer(async (response) => {
      startStream(response);
      response.flushHeaders();
      const told = before('OpenAI');
      for (const text of told) response.write(text);
      // Who runs the model is not known before the first chunk: nothing is aborted until then.
      if (!told.some((text) => text.startsWith('data'))) {
        await released.promise;
        response.write(textChunk('one ', 'gen-1', 'OpenAI'));
      }
    });
    await goAwayAt(user.token, mark, () => server.upstream.requests.length > asked);
    released.resolve();
    await until('upstream is aborted', () => server.upstream.aborted() > aborted || undefined);
    const generation = await until('it is settled', async () => {
      const [found] = await readGenerations(server, user);
      return found?.status === 'settled' ? found : undefined;
    });
    t.match(generation, { provenance: 'estimated', upstream_id: 'gen-1', provider: 'openai' });
    t.ok((generation.input_tokens ?? 0) >= 5, 'the prompt is paid for');
    t.ok((generation.output_tokens ?? 0) >= 1, 'what came is paid for');
    const { used, reserved } = await readBalance(server, user);
    t.equal(used, (generation.input_tokens ?? 0) + (generation.output_tokens ?? 0));
    t.equal(reserved, 0);
    await server.verifyLedger(t);
  });
}

t.test('an answer that comes whole is paid for, whoever waits for it', async (t) => {
  const user = await userWith(server, 1_000);
  const released = createDeferred();
  const asked = server.upstream.requests.length;
  server.upstream.answer(async (response) => {
    await released.promise;
    const message = { role: 'assistant', content: 'Hello' };
    const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 };
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ id: 'gen-2', choices: [{ index: 0, message, finish_reason: 'stop' }], usage }));
  });
  const client = new AbortController();
  const answer = fetch(`${url}/api/chat/stream`, {
    method: 'POST',
    headers: { authorization: `Bearer ${user.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ ...QUESTION, stream: false }),
    signal: client.signal,
  });
  await untilTrue(() => server.upstream.requests.length > asked);
  client.abort();
  await t.rejects(answer);
  released.resolve();
  await untilTrue(async () => (await readBalance(server, user)).used === 7);
  await server.verifyLedger(t);
});

t.test('a stream whose client goes away before its first byte is no fault of the server', async (t) => {
  const user = await userWith(server, 1_000);
  const released = createDeferred();
  const asked = server.upstream.requests.length;
  server.upstream.answer(async (response) => {
    startStream(response);
    response.flushHeaders();
    await released.promise;
    response.end(textChunk('one', 'gen-1', 'Google') + usageChunk(30, 12, 'gen-1', 'Google') + DONE);
  });
  await goAwayAt(user.token, undefined, () => server.upstream.requests.length > asked);
  await until('the log says that they went away', async () =>
    lines.find((line) => line.includes(user.id) && line.includes('went away')),
  );
  released.resolve();
  await untilTrue(async () => (await readBalance(server, user)).used === 42);
  t.strictSame(
    lines.filter((line) => /"level":[45]0/.test(line)),
    [],
    'of all who went away, here and above',
  );
  await server.verifyLedger(t);
});

t.end();
