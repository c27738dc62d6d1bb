import fc from 'fast-check';
import { createOpenAiCodec } from '../../../src/features/chat/formats/openai/codec.js';
import { joinBytes } from '../../../src/features/chat/stream/join-bytes.js';
import { createDataReader } from '../../../src/features/chat/stream/read-data.js';
import t from '../../helpers/run/tap.js';

const codec = createOpenAiCodec({ model: 'm', choiceCount: 1, includeUsage: true });

/** Texts as models write them, and such as look like something else in JSON. */
const text = fc.oneof(
  fc.constantFrom('word', ' word', 'assistant', 'content', '', '"', '\\', '","content":"', 'é', '\u2028', '\n', 'null'),
  fc.string(),
);
const NAMES: readonly ((text: string, other: string) => object)[] = [
  (content) => ({ role: 'assistant', content }),
  (content, reasoning) => ({ content, reasoning }),
  (reasoning) => ({ reasoning, reasoning_details: [{ type: 'reasoning.text', content: reasoning }] }),
  (content) => ({ content: '', tool_calls: [{ function: { arguments: content } }] }),
  (content) => ({ annotations: [{ type: 'file', content }], content }),
];
const chunks = fc.array(
  fc.record({
    write: fc.constantFrom(...NAMES),
    text,
    other: text,
    finish: fc.constantFrom(null, null, null, 'stop'),
    id: fc.constantFrom('gen-1', 'gen-1', 'gen-1', 'gen-2', 'word'),
    usage: fc.constantFrom(undefined, undefined, undefined, null, { completion_tokens: 3 }),
    error: fc.constantFrom(undefined, undefined, undefined, 'word'),
    spaces: fc.constantFrom(undefined, undefined, 1),
  }),
  { minLength: 2, maxLength: 20 },
);

t.test('chunks that are like the one before are read as each of them is by itself', async (t) => {
  let alike = 0;
  fc.assert(
    fc.property(chunks, fc.boolean(), (steps, isSteady) => {
      const [first] = steps;
      const read = createDataReader(codec);
      for (const step of steps) {
        const { write, id, usage, error, spaces, finish } = isSteady && first !== undefined ? first : step;
        const value = {
          id,
          choices: [{ index: 0, delta: write(step.text, step.other), finish_reason: finish }],
          usage,
          error,
        };
        const data = JSON.stringify(value, null, spaces);
        const alone = codec.readEvent(JSON.parse(data));
        const reading = read(data);
        if (alone.kind === 'chunk' && alone.chunk.text !== '') alike += 1;
        if (JSON.stringify(reading) !== JSON.stringify(alone)) throw new Error(`${data} was read otherwise`);
      }
    }),
    { numRuns: 500, seed: 15 },
  );
  t.ok(alike > 500, 'most of them have text');
});

t.test('what is no JSON is so also where it looks like the chunk before', async (t) => {
  const read = createDataReader(codec);
  const toData = (content: string) => `{"id":"gen-1","choices":[{"index":0,"delta":{"content":"${content}"}}]}`;
  t.match(read(toData('one')), { kind: 'chunk', chunk: { text: 'one' } });
  t.match(read(toData('two')), { kind: 'chunk', chunk: { text: 'two' } });
  t.match(read(toData('\\u0041\\n')), { kind: 'chunk', chunk: { text: 'A\n' } });
  t.equal(read(toData('a"b')), undefined);
  t.equal(read(toData('a\nb')), undefined);
  t.equal(read(toData('a\\')), undefined);
  t.match(read(toData('three"}}],"error":{"message":"x"},"y":[{"z":{"":"')), { kind: 'fault' });
});

t.test('bytes that follow each other are joined without a copy, others with one', async (t) => {
  const piece = Buffer.from('onetwothree');
  const [one, two, three] = [piece.subarray(0, 3), piece.subarray(3, 6), piece.subarray(6)];
  t.equal(joinBytes([one, two, three]).buffer, piece.buffer);
  t.equal(joinBytes([one, two, three]).toString(), 'onetwothree');
  t.equal(joinBytes([one, three, 'é', two]).toString(), 'onethreeétwo');
  t.equal(joinBytes([]).length, 0);
});

t.end();
