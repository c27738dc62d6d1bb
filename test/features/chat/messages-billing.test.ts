import { openChatServer, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import {
  blockStart,
  blockStop,
  cutAfter,
  delta,
  event,
  MESSAGE_STOP,
  message,
  messageDelta,
  messageStart,
  textDelta,
  toMessageUsage,
} from '../../helpers/fakes/anthropic.js';
import { type Answering, streaming, whole } from '../../helpers/fakes/openrouter.js';
import { MESSAGE } from '../../helpers/messages.js';
import t from '../../helpers/run/tap.js';

const server = await openChatServer(t);

const WORDS = 'word '.repeat(200);
const OF_ZERO = toMessageUsage(0, 0);
const hello = blockStart() + textDelta('Hello') + blockStop();
const words = blockStart() + textDelta(WORDS) + blockStop();
const streamOf = (...events: readonly string[]) => streaming(events.join('') + MESSAGE_STOP);

interface Bill {
  readonly provenance: 'provider_final' | 'estimated';
  /** Where it is left out, any that is at least 1. */
  readonly input?: number;
  readonly output: number;
}

const FINAL = 'provider_final';
const ESTIMATED = 'estimated';

const BILLS: readonly (readonly [name: string, how: Answering, bill: Bill, isWhole?: true])[] = [
  [
    'words beside a delta count as those in it',
    streamOf(
      messageStart(toMessageUsage(12, 1)),
      blockStart(),
      event({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: '' }, note: WORDS }),
      blockStop(),
      messageDelta({ output_tokens: 1 }),
    ),
    { provenance: ESTIMATED, input: 12, output: 205 },
  ],
  [
    'the input of the start and the output of the end are one bill',
    streamOf(messageStart(toMessageUsage(300, 1)), hello, messageDelta({ output_tokens: 20 })),
    { provenance: FINAL, input: 300, output: 20 },
  ],
  [
    'what was read from the cache, or written to it, is input',
    streamOf(
      messageStart({ ...toMessageUsage(3, 1, 1_000), cache_creation_input_tokens: 200 }),
      hello,
      messageDelta({ output_tokens: 20 }),
    ),
    { provenance: FINAL, input: 1_203, output: 20 },
  ],
  [
    'parts of the input that are told at different times are added up, and nulls lower none',
    streamOf(
      messageStart(toMessageUsage(3, 1)),
      hello,
      messageDelta({ input_tokens: null, cache_read_input_tokens: 1_000, output_tokens: 20 }),
    ),
    { provenance: FINAL, input: 1_003, output: 20 },
  ],
  [
    'an input that turns out to have been cached is not counted twice',
    streamOf(
      messageStart({ input_tokens: 1_000, output_tokens: 0 }),
      hello,
      messageDelta(toMessageUsage(200, 20, 800)),
      messageDelta({ cache_read_input_tokens: 800, output_tokens: 20 }),
    ),
    { provenance: FINAL, input: 1_000, output: 20 },
  ],
  [
    'a cache that is told only at the start is not forgotten',
    streamOf(messageStart(toMessageUsage(3, 1, 1_000)), hello, messageDelta({ input_tokens: 3, output_tokens: 20 })),
    { provenance: FINAL, input: 1_003, output: 20 },
  ],
  [
    'a cache that is counted by its time to live is input',
    streamOf(
      messageStart({
        input_tokens: 3,
        cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 20 },
        output_tokens: 1,
      }),
      hello,
      messageDelta({ output_tokens: 20 }),
    ),
    { provenance: FINAL, input: 123, output: 20 },
  ],
  [
    'counts that grow with the stream are not added up',
    streamOf(
      messageStart(toMessageUsage(300, 1)),
      hello,
      messageDelta({ output_tokens: 5 }, null),
      messageDelta({ output_tokens: 9 }),
    ),
    { provenance: FINAL, input: 300, output: 9 },
  ],
  [
    'zeros at the end do not lower the counts',
    streamOf(messageStart(toMessageUsage(300, 1)), hello, messageDelta({ output_tokens: 20 }), messageDelta(OF_ZERO)),
    { provenance: FINAL, input: 300, output: 20 },
  ],
  [
    'zeros at the start leave the counts to the end',
    streamOf(messageStart(OF_ZERO), hello, messageDelta(toMessageUsage(300, 20))),
    { provenance: FINAL, input: 300, output: 20 },
  ],
  [
    'calls of a model that are counted by themselves are billed',
    streamOf(
      messageStart(toMessageUsage(30, 1)),
      hello,
      messageDelta({
        output_tokens: 20,
        iterations: [
          { type: 'compaction', ...toMessageUsage(5_000, 300) },
          { type: 'message', ...toMessageUsage(30, 20, 100) },
        ],
      }),
    ),
    { provenance: FINAL, input: 5_130, output: 320 },
  ],
  [
    'counts are read as text and as floats',
    streamOf(messageStart({ input_tokens: '32', output_tokens: 1 }), hello, messageDelta({ output_tokens: 8.5 })),
    { provenance: FINAL, input: 32, output: 9 },
  ],
  [
    'a message without counts is estimated',
    streamOf(messageStart({}), blockStart(), textDelta('one two three four'), blockStop(), messageDelta(undefined)),
    { provenance: ESTIMATED, output: 4 },
  ],
  [
    'a count of nothing for words that came is no count',
    streamOf(messageStart(OF_ZERO), blockStart(), textDelta('one two three four'), blockStop(), messageDelta(OF_ZERO)),
    { provenance: ESTIMATED, output: 4 },
  ],
  [
    'an input that is counted stays counted where the output is not',
    streamOf(messageStart(toMessageUsage(300, 0)), hello, messageDelta({ output_tokens: null })),
    { provenance: ESTIMATED, input: 300, output: 1 },
  ],
  [
    'a cache without the rest of its input leaves the input to an estimate',
    streamOf(
      messageStart({ cache_read_input_tokens: 1, output_tokens: 1 }),
      hello,
      messageDelta({ output_tokens: 20 }),
    ),
    { provenance: ESTIMATED, output: 20 },
  ],
  [
    'a count that the words contradict does not stand',
    streamOf(messageStart(toMessageUsage(300, 1)), words, messageDelta({ output_tokens: 1 })),
    { provenance: ESTIMATED, input: 300, output: 205 },
  ],
  [
    'the count of the start is a floor where the stream is cut',
    cutAfter(messageStart(toMessageUsage(300, 1)) + words),
    { provenance: ESTIMATED, input: 300, output: 205 },
  ],
  [
    'the count of the end stands although the stream is cut right after it',
    cutAfter(messageStart(toMessageUsage(300, 1)) + hello + messageDelta({ output_tokens: 4 })),
    { provenance: FINAL, input: 300, output: 4 },
  ],
  [
    'an error in the stream leaves what came to an estimate',
    streamOf(
      messageStart(toMessageUsage(300, 1)),
      words,
      event({ type: 'error', error: { type: 'api_error', message: 'internal' } }),
    ),
    { provenance: ESTIMATED, input: 300, output: 205 },
  ],
  [
    'thinking, the input of tools and unknown deltas are words, signatures and encrypted thoughts are none',
    streamOf(
      messageStart(toMessageUsage(300, 1)),
      blockStart({ type: 'thinking', thinking: 'one two' }),
      delta({ type: 'thinking_delta', thinking: ' three four' }),
      delta({ type: 'signature_delta', signature: 'EqQBCgIYAhIM'.repeat(500) }),
      blockStop(),
      blockStart({ type: 'redacted_thinking', data: 'EmwKAhgBEgy3'.repeat(500) }, 1),
      blockStop(1),
      blockStart({ type: 'tool_use', id: 'toolu_01T1x1fJ34qAmk2tNTrN7Up6', name: 'count', input: {} }, 2),
      delta({ type: 'input_json_delta', partial_json: ' five six' }, 2),
      delta({ type: 'new_delta', draft: [{ words: ' seven eight' }] }, 2),
      blockStop(2),
      messageDelta({ output_tokens: 0 }, 'tool_use'),
    ),
    { provenance: ESTIMATED, input: 300, output: 9 },
  ],
  [
    'what tools answered that were run upstream, and quotations, are not what the model wrote',
    streamOf(
      messageStart(toMessageUsage(300, 1)),
      blockStart({
        type: 'web_search_tool_result',
        tool_use_id: 'x',
        content: [{ type: 'web_search_result', title: WORDS }],
      }),
      blockStop(),
      blockStart({ type: 'text', text: '', citations: [] }, 1),
      delta({ type: 'citations_delta', citation: { type: 'char_location', cited_text: WORDS } }, 1),
      delta({ type: 'text_delta', text: 'Hello' }, 1),
      blockStop(1),
      messageDelta({ output_tokens: 2 }),
    ),
    { provenance: FINAL, input: 300, output: 2 },
  ],
  [
    'a whole message is billed as counted',
    whole(message({ ...toMessageUsage(3, 20, 1_000), cache_creation_input_tokens: 200 })),
    { provenance: FINAL, input: 1_203, output: 20 },
    true,
  ],
  [
    'a whole message that its count contradicts is estimated',
    whole(message(toMessageUsage(300, 1), [{ type: 'text', text: WORDS }])),
    { provenance: ESTIMATED, input: 300, output: 205 },
    true,
  ],
  [
    'the input of a tool in a whole message is words',
    whole(
      message(OF_ZERO, [{ type: 'tool_use', id: 'x', name: 'write', input: { lines: ['one two', ' three four'] } }]),
    ),
    { provenance: ESTIMATED, output: 5 },
    true,
  ],
  [
    'a whole message with nothing in it is billed where it is counted',
    whole(message(toMessageUsage(300, 20), [])),
    { provenance: FINAL, input: 300, output: 20 },
    true,
  ],
  [
    'an error with a count is billed',
    whole({ type: 'error', error: { type: 'api_error', message: 'internal' }, usage: toMessageUsage(300, 20) }),
    { provenance: FINAL, input: 300, output: 20 },
    true,
  ],
  [
    'an event that nobody knows is billed as it counts',
    streamOf(
      messageStart({}),
      hello,
      event({ type: 'new_kind', usage: toMessageUsage(300, 20) }),
      messageDelta(undefined),
    ),
    { provenance: FINAL, input: 300, output: 20 },
  ],
];

for (const [name, how, { provenance, input, output }, isWhole] of BILLS) {
  t.test(name, async (t) => {
    const user = await userWith(server, 100_000);
    server.upstream.answer(how);
    const stream = isWhole !== true;
    const { payload } = await user.as('POST', '/v1/messages', { ...MESSAGE, max_tokens: 1_000, stream });
    const [generation, ...others] = await readGenerations(server, user);
    t.match(generation, { status: 'settled', provenance, output_tokens: output }, payload);
    t.strictSame(others, []);
    if (input === undefined) t.ok((generation?.input_tokens ?? 0) >= 1, 'the prompt is billed');
    else t.equal(generation?.input_tokens, input);
    t.equal((await readBalance(server, user)).used, (generation?.input_tokens ?? 0) + output);
    t.notMatch(payload, /internal/);
    await server.verifyLedger(t);
  });
}

t.end();
