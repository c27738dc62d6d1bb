import { createWrittenText } from '../../../src/features/chat/formats/responses/written-text.js';
import { openChatServer, readGenerations, userWith } from '../../helpers/chat.js';
import { type Answering, startStream, streaming, whole } from '../../helpers/fakes/openrouter.js';
import {
  completed,
  created,
  event,
  functionCall,
  functionEvents,
  message,
  messageEnd,
  messageStart,
  reasoning,
  response,
  textDelta,
  toResponseUsage,
  usualEvents,
} from '../../helpers/fakes/responses.js';
import t from '../../helpers/run/tap.js';

/** Returns what the model wrote in a stream, as the events bring it. */
function readTexts(stream: string): string[] {
  const written = createWrittenText();
  return stream
    .split('\n\n')
    .filter((text) => text !== '')
    .map((text) => written.read(JSON.parse(text.slice(text.indexOf('data: ') + 'data: '.length))));
}

const summary = { item_id: 'rs_1', output_index: 0, summary_index: 0 };
const DATA = 'aB3/'.repeat(100);
const part = (text: string, content_index: number) =>
  event('response.content_part.done', { output_index: 0, content_index, part: { type: 'output_text', text } });

/** Streams, and what the model wrote in them. */
const STREAMS: readonly (readonly [name: string, stream: string, text: string])[] = [
  ['a message, repeated four times', usualEvents(), 'Hello!'],
  ['arguments', functionEvents(['{"a":', '1}']), 'weather{"a":1}'],
  [
    'a summary of reasoning, then a message',
    created +
      event('response.reasoning_summary_part.added', { ...summary, part: { type: 'summary_text', text: '' } }) +
      event('response.reasoning_summary_text.delta', { ...summary, delta: 'so ' }) +
      event('response.reasoning_summary_text.delta', { ...summary, delta: 'then' }) +
      event('response.reasoning_summary_text.done', { ...summary, text: 'so then' }) +
      event('response.reasoning_summary_part.done', { ...summary, part: { type: 'summary_text', text: 'so then' } }) +
      event('response.output_item.done', { output_index: 0, item: reasoning('so then') }) +
      messageStart(1) +
      textDelta('Hi', { output_index: 1 }) +
      messageEnd('Hi', 1) +
      completed([reasoning('so then'), message('Hi')]),
    'so thenHi',
  ],
  [
    'reasoning itself',
    event('response.reasoning_text.delta', { output_index: 0, content_index: 0, delta: 'so' }) +
      event('response.reasoning_text.done', { output_index: 0, content_index: 0, text: 'so' }),
    'so',
  ],
  [
    'the input of a custom tool',
    event('response.output_item.added', {
      output_index: 0,
      item: { id: 'ct_1', type: 'custom_tool_call', call_id: 'c', name: 'sql', input: '' },
    }) +
      event('response.custom_tool_call_input.delta', { output_index: 0, delta: 'select ' }) +
      event('response.custom_tool_call_input.delta', { output_index: 0, delta: '1' }) +
      event('response.custom_tool_call_input.done', { output_index: 0, input: 'select 1' }) +
      event('response.output_item.done', {
        output_index: 0,
        item: { id: 'ct_1', type: 'custom_tool_call', call_id: 'c', name: 'sql', input: 'select 1' },
      }),
    'sqlselect 1',
  ],
  [
    'a refusal',
    event('response.refusal.delta', { output_index: 0, content_index: 0, delta: 'No.' }) +
      event('response.refusal.done', { output_index: 0, content_index: 0, refusal: 'No.' }),
    'No.',
  ],
  ['a message that only came as a whole', messageStart() + messageEnd('Hello!'), 'Hello!'],
  ['a response that only came as a whole', created + completed([reasoning('so'), message('Hello!')]), 'soHello!'],
  ['parts that only came as a whole', part('one', 0) + part('two', 1) + part('one', 2), 'onetwoone'],
  ['the end of a message only with the whole', textDelta('Hel') + completed([message('Hello!')]), 'Hello!'],
  [
    'places that do not fit the repetitions',
    textDelta('Hello!', { output_index: 7, content_index: 3 }) + messageEnd('Hello!') + completed([message('Hello!')]),
    'Hello!',
  ],
  ['places that are not said', event('response.output_text.delta', { delta: 'Hi' }) + completed([message('Hi')]), 'Hi'],
  ['any name', event('response.thought.delta', { delta: { words: ['a ', { more: 'b' }] } }), 'a b'],
  [
    'encrypted reasoning',
    event('response.output_item.done', {
      output_index: 0,
      item: { id: 'rs_1', type: 'reasoning', summary: [], encrypted_content: DATA, status: 'completed' },
    }),
    '',
  ],
  ['sound', event('response.audio.delta', { delta: DATA }), ''],
  ['words in the place of sound', event('response.audio.delta', { delta: 'once upon' }), 'once upon'],
  [
    'words in the place of a picture',
    event('response.image_generation_call.partial_image', { partial_image_b64: 'once upon', output_index: 0 }),
    'once upon',
  ],
  [
    'a picture',
    event('response.image_generation_call.partial_image', { partial_image_b64: DATA, output_index: 0 }),
    '',
  ],
  ['words beside the delta', textDelta('Hi', { note: ' there', item_id: 'msg_1' }), 'Hi there'],
  ['what was said', event('response.audio.transcript.delta', { delta: 'Hi' }), 'Hi'],
  [
    'quotations and logprobs',
    textDelta('Hi', { logprobs: [{ token: 'Hi' }] }) +
      event('response.output_text.annotation.added', { output_index: 0, annotation: { title: 'A site about it' } }),
    'Hi',
  ],
  [
    'what was asked',
    event('response.created', { response: { instructions: 'Be brief', tools: [{ name: 'go' }] } }),
    '',
  ],
  ['text joined by upstream', event('response.completed', { response: { output: [], output_text: 'Hi' } }), 'Hi'],
];

t.test('everything the model writes is its text, once', async (t) => {
  for (const [name, stream, text] of STREAMS) t.equal(readTexts(stream).join(''), text, name);
  t.strictSame(
    readTexts(usualEvents()).filter((text) => text !== ''),
    ['Hel', 'lo!'],
    'when it comes',
  );
});

const server = await openChatServer(t);
const WORDS = 'word '.repeat(200);
const ofZero = toResponseUsage(0, 0);

/** Answers with a stream that is cut off after what is given. */
const cutAfter =
  (body: string): Answering =>
  async (httpResponse) => {
    startStream(httpResponse);
    await new Promise((written) => httpResponse.write(body, written));
    await new Promise((turn) => setImmediate(turn));
    httpResponse.destroy();
  };
const progress = (usage: unknown) => event('response.in_progress', { response: response([], usage) });
const incomplete = (text: string, usage: unknown) =>
  event('response.incomplete', {
    response: response([message(text)], usage, { incomplete_details: { reason: 'max_output_tokens' } }),
  });

interface Bill {
  readonly provenance: 'provider_final' | 'estimated' | null;
  readonly input?: number;
  readonly output: number;
}
const FINAL = 'provider_final';
const ESTIMATED = 'estimated';

const BILLS: readonly (readonly [name: string, stream: boolean, how: Answering, bill: Bill])[] = [
  ['as counted', true, streaming(usualEvents(toResponseUsage(30, 4))), { provenance: FINAL, input: 30, output: 4 }],
  ['not counted', true, streaming(usualEvents(null)), { provenance: ESTIMATED, output: 2 }],
  [
    'counted in what is no event of the format',
    true,
    streaming(
      [created, textDelta(WORDS), `data: ${JSON.stringify({ usage: toResponseUsage(300, 400) })}\n\n`].join(''),
    ),
    { provenance: ESTIMATED, input: 300, output: 400 },
  ],
  ['counted as zero', true, streaming(usualEvents(ofZero)), { provenance: ESTIMATED, output: 2 }],
  [
    'counted far too low',
    true,
    streaming(created + textDelta(WORDS) + completed([message(WORDS)], toResponseUsage(30, 1))),
    { provenance: ESTIMATED, input: 30, output: 205 },
  ],
  [
    'reasoning that stands only in the total',
    true,
    streaming(usualEvents({ input_tokens: 32, output_tokens: 9, total_tokens: 135 })),
    { provenance: FINAL, input: 32, output: 103 },
  ],
  [
    'counts that grow',
    true,
    streaming(
      created + progress(toResponseUsage(30, 1)) + textDelta('Hi') + completed([message('Hi')], toResponseUsage(30, 3)),
    ),
    { provenance: FINAL, input: 30, output: 3 },
  ],
  [
    'a count on the way, and none at the end',
    true,
    streaming(created + progress(toResponseUsage(30, 1)) + textDelta(WORDS) + completed([message(WORDS)], null)),
    { provenance: ESTIMATED, input: 30, output: 205 },
  ],
  [
    'a count on the way, then a cut',
    true,
    cutAfter(created + progress(toResponseUsage(30, 1)) + textDelta(WORDS)),
    { provenance: ESTIMATED, input: 30, output: 205 },
  ],
  ['a cut', true, cutAfter(created + textDelta(WORDS)), { provenance: ESTIMATED, output: 205 }],
  [
    'a message that only came as a whole, then a cut',
    true,
    cutAfter(created + messageEnd(WORDS)),
    { provenance: ESTIMATED, output: 205 },
  ],
  [
    'arguments that are not counted',
    true,
    streaming(functionEvents([JSON.stringify({ text: WORDS })], null)),
    { provenance: ESTIMATED, output: 205 },
  ],
  [
    'an answer that is cut short by its limit',
    true,
    streaming(created + textDelta('Hel') + incomplete('Hel', toResponseUsage(30, 4))),
    { provenance: FINAL, input: 30, output: 4 },
  ],
  [
    'whole',
    false,
    whole(response([message('Hi')], toResponseUsage(30, 4))),
    { provenance: FINAL, input: 30, output: 4 },
  ],
  ['whole, not counted', false, whole(response([message(WORDS)], null)), { provenance: ESTIMATED, output: 205 }],
  ['whole, counted as zero', false, whole(response([message(WORDS)], ofZero)), { provenance: ESTIMATED, output: 205 }],
  [
    'whole, counted far too low',
    false,
    whole(response([reasoning(WORDS), functionCall('{}')], toResponseUsage(30, 2))),
    { provenance: ESTIMATED, input: 30, output: 207 },
  ],
  ['whole, of nothing', false, whole(response([], ofZero)), { provenance: null, output: 0 }],
];

for (const [name, stream, how, { provenance, input, output }] of BILLS) {
  t.test(`what is billed: ${name} (stream: ${stream})`, async (t) => {
    const user = await userWith(server, 10_000);
    server.upstream.answer(how);
    const answer = await user.as('POST', '/v1/responses', { model: 'openai/gpt-4', input: 'Hello!', stream });
    t.equal(answer.statusCode, 200, answer.payload);
    const [bill] = await readGenerations(server, user);
    t.match(bill, { provenance, output_tokens: output, ...(input !== undefined && { input_tokens: input }) });
    await server.verifyLedger(t);
  });
}

t.end();
