import { openChatServer, parseEvents, QUESTION, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import {
  type Answering,
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

const server = await openChatServer(t);

const WORDS = 'word '.repeat(200);
const deltaChunk = (delta: object) => chunk({ choices: [{ index: 0, delta, finish_reason: null }] });
const counts = (usage: unknown) => chunk({ choices: [], usage });
const ofZero = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };
const inPart = { prompt_tokens: 300, completion_tokens: 1, total_tokens: 301 };

/** Answers with a stream that is cut off after what is given. */
const cutAfter =
  (body: string): Answering =>
  async (response) => {
    startStream(response);
    await new Promise((written) => response.write(body, written));
    await new Promise((turn) => setImmediate(turn));
    response.destroy();
  };

/** Returns an answer that comes whole. */
const answer = (message: object, usage: unknown) =>
  whole({ id: 'gen-1', provider: 'OpenAI', choices: [{ index: 0, message, finish_reason: 'stop' }], usage });

interface Bill {
  readonly provenance: 'provider_final' | 'estimated';
  readonly input?: number;
  readonly output: number;
}

const BILLS: readonly (readonly [name: string, stream: boolean, how: Answering, bill: Bill])[] = [
  [
    'a chunk of zeros after the count does not lower it',
    true,
    streaming(textChunk('Hello') + stopChunk() + usageChunk(300, 20) + counts(ofZero) + DONE),
    { provenance: 'provider_final', input: 300, output: 20 },
  ],
  [
    'a null after the count does not lower it',
    true,
    streaming(textChunk('Hello') + usageChunk(300, 20) + counts(null) + counts({ prompt_tokens: null }) + DONE),
    { provenance: 'provider_final', input: 300, output: 20 },
  ],
  [
    'counts that grow with the stream are not added up',
    true,
    streaming([1, 2, 3].map((count) => textChunk(' a') + usageChunk(300, count)).join('') + DONE),
    { provenance: 'provider_final', input: 300, output: 3 },
  ],
  [
    'a count at the start is a floor where the stream is cut',
    true,
    cutAfter(counts(inPart) + textChunk(WORDS)),
    { provenance: 'estimated', input: 300, output: 205 },
  ],
  [
    'a count at the start that the text contradicts does not stand at the end either',
    true,
    streaming(counts(inPart) + textChunk(WORDS) + stopChunk() + DONE),
    { provenance: 'estimated', input: 300, output: 205 },
  ],
  [
    'the count after the finish stands although the stream is cut right after it',
    true,
    cutAfter(textChunk('Hello') + stopChunk() + usageChunk(30, 4)),
    { provenance: 'provider_final', input: 30, output: 4 },
  ],
  [
    'reasoning that stands only in the total is billed',
    true,
    streaming(textChunk('Hello') + counts({ prompt_tokens: 32, completion_tokens: 9, total_tokens: 135 }) + DONE),
    { provenance: 'provider_final', input: 32, output: 103 },
  ],
  [
    'a prompt that is counted stays counted where the answer is not',
    true,
    streaming(textChunk('Hello') + counts({ prompt_tokens: 300, total_tokens: 300 }) + DONE),
    { provenance: 'estimated', input: 300, output: 1 },
  ],
  [
    'an answer that is counted stays counted where the prompt is not',
    true,
    streaming(textChunk('Hello') + counts({ completion_tokens: 20 }) + DONE),
    { provenance: 'estimated', output: 20 },
  ],
  [
    'a count of nothing for words that came is no count',
    true,
    streaming(textChunk('one two three four') + counts(ofZero) + DONE),
    { provenance: 'estimated', output: 4 },
  ],
  [
    'counts are read as text and as floats',
    true,
    streaming(textChunk('Hello') + counts({ prompt_tokens: '32', completion_tokens: 9.0 }) + DONE),
    { provenance: 'provider_final', input: 32, output: 9 },
  ],
  [
    'counts are read within a choice',
    true,
    streaming(chunk({ choices: [{ index: 0, delta: { content: 'Hello' }, usage: inPart }] }) + DONE),
    { provenance: 'provider_final', input: 300, output: 1 },
  ],
  [
    'an error with a count is billed, though it comes first',
    true,
    streaming(chunk({ error: { code: 502 }, usage: { prompt_tokens: 40, completion_tokens: 2 } })),
    { provenance: 'estimated', input: 40, output: 2 },
  ],
  [
    'a whole answer without choices is billed where it is counted',
    false,
    whole({ ...completion(300, 20), choices: [] }),
    { provenance: 'provider_final', input: 300, output: 20 },
  ],
  [
    'a whole answer with reasoning in the total only is billed',
    false,
    answer({ content: 'Hello' }, { prompt_tokens: 32, completion_tokens: 9, total_tokens: 135 }),
    { provenance: 'provider_final', input: 32, output: 103 },
  ],
  [
    'a whole answer that its count contradicts is estimated',
    false,
    answer({ content: WORDS }, inPart),
    { provenance: 'estimated', input: 300, output: 205 },
  ],
  [
    'a whole answer in words of any name is estimated by them',
    false,
    answer({ content: null, inner_voice: { parts: ['one two three four'] } }, ofZero),
    { provenance: 'estimated', output: 4 },
  ],
];

for (const [name, stream, how, { provenance, input, output }] of BILLS) {
  t.test(name, async (t) => {
    const user = await userWith(server, 10_000);
    server.upstream.answer(how);
    const { payload } = await user.as('POST', '/api/chat/stream', { ...QUESTION, stream });
    const [generation, ...others] = await readGenerations(server, user);
    t.match(generation, { status: 'settled', provenance, output_tokens: output }, payload);
    t.strictSame(others, []);
    if (input === undefined) t.ok((generation?.input_tokens ?? 0) >= 1, 'the prompt is billed');
    else t.equal(generation?.input_tokens, input);
    t.equal((await readBalance(server, user)).used, (generation?.input_tokens ?? 0) + output);
    await server.verifyLedger(t);
  });
}

t.test('a whole answer that is an error is billed as it counts, and told as an error', async (t) => {
  const user = await userWith(server, 1_000);
  server.upstream.answer(
    whole({ id: 'gen-1', error: { code: 502 }, usage: { prompt_tokens: 9, completion_tokens: 2 } }),
  );
  const response = await user.as('POST', '/api/chat/stream', { ...QUESTION, stream: false });
  t.match([response.statusCode, response.json().code], [502, 'UPSTREAM_FAILED']);
  t.match(await readBalance(server, user), { used: 11, reserved: 0 });
  await server.verifyLedger(t);
});

/** What a model may write besides its answer. */
const DELTAS: readonly (readonly [name: string, delta: object])[] = [
  ['reasoning_content', { reasoning_content: ' think deeply about number 7' }],
  ['function_call.arguments', { function_call: { arguments: ' think deeply about number 7' } }],
  ['reasoning_details', { reasoning_details: [{ type: 'reasoning.text', text: ' think deeply about number 7' }] }],
  ['a name nobody knows', { thoughts: { draft: [{ words: ' think deeply about number 7' }] } }],
];
for (const [name, delta] of DELTAS) {
  for (const max_tokens of [undefined, 100]) {
    t.test(`${name} counts towards the quota, ${max_tokens ? 'with' : 'without'} a limit`, async (t) => {
      const user = await userWith(server, 500);
      server.upstream.answer(streaming(deltaChunk(delta).repeat(1_500) + usageChunk(10, 9_000) + DONE));
      const { payload } = await user.as('POST', '/api/chat/stream', { ...QUESTION, ...(max_tokens && { max_tokens }) });
      t.match(payload, /"reason":"quota"/);
      t.ok(parseEvents(payload).length < 150, `${parseEvents(payload).length} events came`);
      const { used, debt } = await readBalance(server, user);
      t.ok(used > 450, `${used} were used`);
      t.equal(debt, 0);
      t.match(await readGenerations(server, user), [{ provenance: 'estimated', upstream_id: 'gen-1' }]);
      await server.verifyLedger(t);
    });
  }
}

t.test('an event that is more than what is left is not passed on', async (t) => {
  const user = await userWith(server, 200);
  server.upstream.answer(streaming(textChunk('Hello') + textChunk(WORDS.repeat(50)) + DONE));
  const { payload } = await user.as('POST', '/api/chat/stream', QUESTION);
  t.match(payload, /Hello/);
  t.notMatch(payload, /word/);
  t.match(await readBalance(server, user), { reserved: 0, debt: 0 });
  await server.verifyLedger(t);
});

t.test('an event that is longer than the hold is passed on where tokens are left', async (t) => {
  for (const limit of [{}, { max_tokens: 100 }]) {
    const user = await userWith(server, 100_000);
    server.upstream.answer(streaming(textChunk(WORDS.repeat(50)) + stopChunk() + usageChunk(12, 10_001) + DONE));
    const { payload } = await user.as('POST', '/api/chat/stream', { ...QUESTION, ...limit });
    t.match(payload, /word/);
    t.notMatch(payload, /"reason":"quota"/);
    t.match(await readBalance(server, user), { used: 10_013, reserved: 0, debt: 0 });
  }
  await server.verifyLedger(t);
});

t.test('images, ids and types are no words', async (t) => {
  const user = await userWith(server, 500);
  const image = `data:image/png;base64,${'iVBORw0KGgo'.repeat(2_000)}=`;
  const delta = {
    role: 'assistant',
    content: 'Hello',
    images: [{ type: 'image_url', image_url: { url: image } }],
    audio: { id: 'audio_1', data: 'UklGRiQAAABXQVZF'.repeat(1_000), transcript: ' there' },
    reasoning_details: [{ type: 'reasoning.encrypted', format: 'openai-responses-v1', data: 'gAAAAABo'.repeat(1_000) }],
    tool_calls: [
      { index: 0, id: 'call_0123456789abcdef', type: 'function', function: { name: 'go', arguments: '{}' } },
    ],
  };
  server.upstream.answer(streaming(deltaChunk(delta) + DONE));
  const { payload } = await user.as('POST', '/api/chat/stream', QUESTION);
  t.match(payload, /iVBORw0KGgo/);
  const [generation] = await readGenerations(server, user);
  t.match(generation, { provenance: 'estimated' });
  t.ok((generation?.output_tokens ?? 0) <= 6, `${generation?.output_tokens} tokens`);
  await server.verifyLedger(t);
});

t.end();
