import { toChunk } from '../../../src/features/chat/formats/openai/codec.js';
import t from '../../helpers/run/tap.js';

const parse = (chunk: unknown) => toChunk(Object(chunk));
const parseDelta = (delta: unknown) => parse({ choices: [{ index: 0, delta }] }).text;

const IMAGE = `data:image/png;base64,${'iVBORw0KGgo'.repeat(50)}=`;
const DATA = 'aB3/'.repeat(100);

const TEXTS: readonly (readonly [name: string, delta: unknown, text: string])[] = [
  ['content', { role: 'assistant', content: 'Hello' }, 'Hello'],
  ['parts', { content: [{ type: 'text', text: 'Hel' }, { type: 'text', text: 'lo' }, 'w'] }, 'Hellow'],
  ['reasoning', { reasoning: 'so' }, 'so'],
  ['reasoning_content', { content: null, reasoning_content: 'so' }, 'so'],
  ['reasoning in two ways', { reasoning: 'so', reasoning_details: [{ type: 'reasoning.text', text: 'so' }] }, 'so'],
  ['reasoning in three ways', { reasoning: 'so', reasoning_content: 'so', thinking: { text: 'so' } }, 'so'],
  [
    'details with a signature',
    { reasoning_details: [{ type: 'reasoning.text', text: 'so', format: 'anthropic-claude-v1', signature: 'aGk=' }] },
    'so',
  ],
  ['encrypted details', { reasoning_details: [{ type: 'reasoning.encrypted', data: DATA, id: 'rs_1' }] }, ''],
  ['a refusal', { refusal: 'No.' }, 'No.'],
  ['function_call', { function_call: { name: 'go', arguments: '{"a":' } }, 'go{"a":'],
  [
    'tools, the same twice',
    {
      tool_calls: [0, 1].map((index) => ({ index, id: `c${index}`, type: 'function', function: { arguments: '{}' } })),
    },
    '{}{}',
  ],
  ['arguments that are no text', { tool_calls: [{ function: { name: 'go', arguments: { city: 'Rome' } } }] }, 'goRome'],
  ['custom tools', { tool_calls: [{ type: 'custom', custom: { name: 'sql', input: 'select 1' } }] }, 'sqlselect 1'],
  ['audio', { audio: { id: 'audio_1', data: DATA, transcript: 'Hi', expires_at: 1 } }, 'Hi'],
  ['images', { images: [{ type: 'image_url', image_url: { url: IMAGE } }] }, ''],
  ['an image under any name', { picture: IMAGE, blob: DATA, sound: DATA }, ''],
  ['base64 that the model wrote', { content: DATA }, DATA],
  ['a data URL that the model wrote', { content: IMAGE }, IMAGE],
  ['any name', { Denkspur: ['a ', { b: { c: ' b' } }] }, 'a  b'],
  [
    'words under the names of labels',
    { type: 'once upon', id: 'a time', role: 'there was' },
    'once upona timethere was',
  ],
  ['words under the name of data', { data: 'once upon a time' }, 'once upon a time'],
  ['words without spaces', { notes: 'think'.repeat(100) }, 'think'.repeat(100)],
  ['quotations', { content: 'Hi', annotations: [{ type: 'url_citation', url_citation: { title: 'A site' } }] }, 'Hi'],
  ['a file that was quoted', { content: 'Hi', annotations: [{ type: 'file', file: { content: ['A file'] } }] }, 'Hi'],
  ['addresses', { content: 'Hi', citations: ['https://example.com/a', { url: 'https://example.com' }] }, 'Hi'],
  [
    'words under the name of quotations',
    { annotations: ['so ', { text: 'be it' }], citation: { by: ' me' } },
    'so be it me',
  ],
  ['words that begin like a data URL', { picture: 'data:;base64,once upon a time' }, 'data:;base64,once upon a time'],
  ['counts', { content: 'Hi', usage: { prompt_tokens: '12' } }, 'Hi'],
  ['numbers', { content: 12, refusal: false, reasoning: null }, ''],
  ['no object', 'Hello', 'Hello'],
  ['a list', ['Hel', { text: 'lo' }], 'Hello'],
  ['nothing', null, ''],
  ['every token once more', { content: 'Hi', logprobs: { content: [{ token: 'Hi' }] } }, 'Hi'],
];

t.test('whatever the model writes is its text, except ids, roles, types and base64 data', async (t) => {
  for (const [name, delta, text] of TEXTS) {
    t.equal(parseDelta(delta), text, name);
    t.equal(parse({ choices: [{ message: delta }] }).text, text, `${name}, whole`);
  }
  t.equal(parse({ choices: [{ delta: { content: 'a' }, message: { content: 'a' } }] }).text, 'a', 'in both');
  t.equal(parse({ choices: [{ delta: { content: 'a' } }, { delta: { content: 'a' } }] }).text, 'aa', 'two choices');
  t.equal(parse({ choices: [{ text: 'a', logprobs: { content: [{ token: 'a' }] } }] }).text, 'a', 'completions');
  t.equal(parse({ choices: [{ text: 'a', delta: { content: 'a' } }] }).text, 'a', 'completions and chat at once');
});

t.test('what stands beside the delta, or in its place, is text as well', async (t) => {
  const parseChoice = (choice: unknown) => parse({ choices: [choice] }).text;
  t.equal(parseChoice({ index: 0, delta: {}, reasoning: 'so' }), 'so');
  t.equal(parseChoice({ delta: { content: 'so' }, output: [{ text: ' it is' }] }), 'so it is');
  t.equal(parseChoice({ delta: { content: 'so' }, reasoning: 'so' }), 'so', 'the same twice');
  t.equal(parseChoice('so'), 'so');
  t.equal(parseChoice(['so', { it: 'is' }]), 'sois');
  const labels = {
    finish_reason: 'stop',
    native_finish_reason: 'end turn',
    stop_reason: 'a word',
    logprobs: { content: [{ token: 'Hi' }] },
    content_filter_results: { hate: { filtered: false, severity: 'very safe' } },
    error: { message: 'it broke' },
  };
  t.equal(parseChoice({ index: 0, delta: { content: 'Hi' }, ...labels }), 'Hi');
});

t.test('an error that is empty is none', async (t) => {
  for (const error of [null, false, '']) t.notOk(parse({ error, choices: [] }).isError, JSON.stringify(error));
  for (const error of ['no', true, {}, [], 500]) t.ok(parse({ error, choices: [] }).isError, JSON.stringify(error));
});

t.test('text may be as long as it likes', async (t) => {
  const long = 'aB3/'.repeat(4_000_000);
  t.equal(parseDelta({ picture: long, type: long, content: 'Hi', image: `data:image/png;base64,${long}` }), 'Hi');
  t.equal(parseDelta({ content: long })?.length, long.length);
});

t.test('text may be nested as deeply as it likes', async (t) => {
  const depth = 100_000;
  const delta = `{"a":${'['.repeat(depth)}"deep"${']'.repeat(depth)}}`;
  t.equal(toChunk(JSON.parse(`{"choices":[{"delta":${delta}}]}`)).text, 'deep');
});

const counts = (input?: number, output?: number, total?: number, reasoning?: number) => ({
  input,
  output,
  total,
  reasoning,
});
const openAi = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };

const USAGES: readonly (readonly [name: string, chunk: object, usage: object | undefined])[] = [
  ['none', { choices: [] }, undefined],
  ['null', { usage: null }, undefined],
  ['empty', { usage: {} }, undefined],
  ['no object', { usage: 'much', choices: [{ usage: 12 }] }, undefined],
  ['a list', { usage: [openAi] }, undefined],
  ['as usual', { usage: openAi }, counts(3, 2, 5)],
  ['textual', { usage: { prompt_tokens: '3', completion_tokens: '2.0', total_tokens: '5e0' } }, counts(3, 2, 5)],
  ['nulls', { usage: { prompt_tokens: null, completion_tokens: 2, total_tokens: null } }, counts(undefined, 2)],
  ['nonsense', { usage: { prompt_tokens: -1, completion_tokens: 'x', total_tokens: {} } }, counts()],
  ['under other names', { usage: { input_tokens: 3, output_tokens: 2 } }, counts(3, 2)],
  ['under both names', { usage: { ...openAi, input_tokens: 0, output_tokens: 9 } }, counts(3, 9, 5)],
  ['with details', { usage: { ...openAi, completion_tokens_details: { reasoning_tokens: 94 } } }, counts(3, 2, 5, 94)],
  ['details that are null', { usage: { ...openAi, completion_tokens_details: null } }, counts(3, 2, 5)],
  ['reasoning beside the counts', { usage: { ...openAi, reasoning_tokens: 94 } }, counts(3, 2, 5, 94)],
  [
    'a part that is more than the whole',
    { usage: { ...openAi, prompt_tokens_details: { cached_tokens: 500 } } },
    counts(503, 2, 5),
  ],
  ['a part that is not', { usage: { ...openAi, prompt_tokens_details: { cached_tokens: '2' } } }, counts(3, 2, 5)],
  ['in a choice', { choices: [{ delta: {}, usage: openAi }] }, counts(3, 2, 5)],
  ['in a delta', { choices: [{ delta: { usage: openAi } }] }, counts(3, 2, 5)],
  ['in an extension', { x_groq: { id: 'req_1', usage: openAi } }, counts(3, 2, 5)],
  [
    'zeros in the chunk, counts in the choice',
    { usage: { prompt_tokens: 0 }, choices: [{ usage: openAi }] },
    counts(3, 2, 5),
  ],
];

t.test('counts are found wherever they are', async (t) => {
  for (const [name, chunk, usage] of USAGES) t.strictSame(parse(chunk).usage, usage, name);
});

t.test('a choice that has finished says so', async (t) => {
  const isFinished = (reason: unknown) => parse({ choices: [{ delta: {}, finish_reason: reason }] }).isFinished;
  for (const reason of ['stop', 'length', 'tool_calls', 'content_filter']) t.ok(isFinished(reason), reason);
  for (const reason of [null, undefined, '', 'error', 0]) t.notOk(isFinished(reason), String(reason));
});

t.end();
