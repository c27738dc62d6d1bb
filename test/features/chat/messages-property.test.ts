import fc from 'fast-check';
import { openChatServer, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import {
  blockStart,
  blockStop,
  delta,
  ERROR_EVENT,
  MESSAGE_STOP,
  messageDelta,
  messageStart,
  PING,
  toMessageUsage,
} from '../../helpers/fakes/anthropic.js';
import { type Answering, startStream } from '../../helpers/fakes/openrouter.js';
import { MESSAGE } from '../../helpers/messages.js';
import t from '../../helpers/run/tap.js';
import { until } from '../../helpers/until.js';

/*
 * A random upstream writes blocks of every kind under names known or not, counts truly, in part or not at all, sends its
 * bytes in odd pieces and breaks off or not, and a random client leaves or not. Whatever happens: what is billed is at
 * least what the words that passed can be, at most what was held or said, a true count stands, and it is billed once.
 */

const RUNS = 40;
const MAX_TOKENS = 2_000;
const server = await openChatServer(t);
const url = await server.listen();

/** Each is one token, of at most eight bytes. */
const WORDS = [' think', ' deeply', ' about', ' number', ' the', ' of'];
const WORD = new RegExp(WORDS.join('|'), 'g');
const countWords = (text: string): number => text.match(WORD)?.length ?? 0;
/** Returns the fewest tokens that the words in a text can be, by their length and by their number. */
function fewestTokens(text: string): number {
  const found = text.match(WORD) ?? [];
  return Math.floor(Math.min(found.join('').length / 8, found.length * 0.75));
}

/** Deltas that words come in. */
const KINDS = {
  text: (words: string) => ({ type: 'text_delta', text: words }),
  thinking: (words: string) => ({ type: 'thinking_delta', thinking: words }),
  tool: (words: string) => ({ type: 'input_json_delta', partial_json: words }),
  compaction: (words: string) => ({ type: 'compaction_delta', content: words }),
  unknown: (words: string) => ({ type: 'new_delta', drafts: [{ words }] }),
} as const;

const block = fc.record({
  kind: fc.constantFrom('text', 'thinking', 'tool', 'compaction', 'unknown'),
  bits: fc.array(
    fc.tuple(fc.constantFrom(...WORDS), fc.integer({ min: 1, max: 30 })).map(([word, times]) => word.repeat(times)),
    { minLength: 1, maxLength: 4 },
  ),
  isSigned: fc.boolean(),
});
const scenario = fc.record({
  blocks: fc.array(block, { minLength: 1, maxLength: 4 }),
  count: fc.constantFrom('true', 'true', 'start', 'zero', 'none'),
  trail: fc.constantFrom('', 'zeros', 'nulls'),
  end: fc.constantFrom('stop', 'stop', 'finished', 'closed', 'cut', 'error'),
  hasNames: fc.boolean(),
  lineEnd: fc.constantFrom('\n', '\r\n', '\r'),
  pieceLength: fc.integer({ min: 7, max: 5_000 }),
  leaves: fc.boolean(),
});
type Scenario = typeof scenario extends fc.Arbitrary<infer Value> ? Value : never;

const toText = ({ blocks }: Scenario) => blocks.flatMap(({ bits }) => bits).join('');

function toStream(scenario: Scenario): string {
  const { blocks, count, trail, end } = scenario;
  const output = countWords(toText(scenario));
  const start = { true: toMessageUsage(12, 1), start: toMessageUsage(12, 1), zero: toMessageUsage(0, 0), none: {} }[
    count
  ];
  const last = { true: { output_tokens: output }, start: undefined, zero: toMessageUsage(0, 0), none: undefined }[
    count
  ];
  const trails = { '': undefined, zeros: toMessageUsage(0, 0), nulls: { input_tokens: null, output_tokens: null } };
  const written = blocks.map(({ kind, bits, isSigned }, index) =>
    [
      blockStart({ type: kind === 'tool' ? 'tool_use' : kind }, index),
      PING,
      ...bits.map((bit) => delta(KINDS[kind](bit), index)),
      ...(isSigned ? [delta({ type: 'signature_delta', signature: 'EqQBCgIYAhIM'.repeat(100) }, index)] : []),
      blockStop(index),
    ].join(''),
  );
  const finish = messageDelta(last) + (trails[trail] === undefined ? '' : messageDelta(trails[trail], null));
  const ends = { stop: finish + MESSAGE_STOP, finished: finish, closed: '', cut: '', error: ERROR_EVENT };
  return messageStart(start) + written.join('') + ends[end];
}

const answer =
  (scenario: Scenario): Answering =>
  async (response) => {
    const { hasNames, lineEnd, pieceLength, end } = scenario;
    const stream = hasNames ? toStream(scenario) : toStream(scenario).replaceAll(/^event: .*\n/gm, '');
    const bytes = Buffer.from(stream.replaceAll('\n', lineEnd));
    startStream(response);
    for (let start = 0; start < bytes.length && !response.destroyed; start += pieceLength) {
      await new Promise((written) => response.write(bytes.subarray(start, start + pieceLength), written));
    }
    await new Promise((turn) => setImmediate(turn));
    if (end === 'cut') response.destroy();
    else response.end();
  };

/** Asks for a stream, and returns what came of it until its end, or until the client left. */
async function ask(token: string, { leaves }: Scenario): Promise<string> {
  const response = await fetch(`${url}/v1/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ ...MESSAGE, max_tokens: MAX_TOKENS, stream: true }),
  });
  let received = '';
  for await (const piece of response.body ?? []) {
    received += Buffer.from(piece).toString('utf8');
    if (leaves && received.includes('content_block_delta')) break;
  }
  return received;
}

t.test('whatever upstream and its clients do, the words that passed are billed, and once', async (t) => {
  await fc.assert(
    fc.asyncProperty(scenario, async (scenario) => {
      const user = await userWith(server, 100_000);
      server.upstream.answer(answer(scenario));
      const payload = await ask(user.token, scenario);
      const generations = await until('it is settled', async () => {
        const found = await readGenerations(server, user);
        return found.some(({ status }) => status === 'held') ? undefined : found;
      });
      const [generation] = generations;
      const told = `${JSON.stringify(generations)} for ${payload}`;
      const output = generation?.output_tokens ?? 0;
      const input = generation?.input_tokens ?? 0;
      if (generations.length !== 1 || generation?.status !== 'settled') throw new Error(`not one bill: ${told}`);
      if (output < fewestTokens(payload)) throw new Error(`less was billed than has passed: ${told}`);
      const words = countWords(toText(scenario));
      if (output > Math.max(MAX_TOKENS, words)) throw new Error(`more was billed than was held or said: ${told}`);
      const isComplete = !scenario.leaves && ['stop', 'finished'].includes(scenario.end);
      const isCounted = scenario.count === 'true' && isComplete;
      if (isCounted && (generation.provenance !== 'provider_final' || output !== words || input !== 12)) {
        throw new Error(`a true count was doubted: ${told}`);
      }
      const last = /event: (\w+)\ndata: .*\n\n$/.exec(payload)?.[1];
      if (!scenario.leaves && last !== (isComplete ? 'message_stop' : 'error'))
        throw new Error(`it ends oddly: ${told}`);
      const { used, debt, reserved } = await readBalance(server, user);
      if (used !== input + output || debt + reserved > 0) throw new Error(`balance: ${told}`);
    }),
    { numRuns: RUNS },
  );
  await server.verifyLedger(t);
});

t.end();
