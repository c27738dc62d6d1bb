import fc from 'fast-check';
import { openChatServer, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import { type Answering, startStream } from '../../helpers/fakes/openrouter.js';
import {
  created,
  event,
  functionCall,
  message,
  reasoning,
  response,
  toResponseUsage,
} from '../../helpers/fakes/responses.js';
import t from '../../helpers/run/tap.js';
import { until } from '../../helpers/until.js';

/*
 * A random upstream writes items bit by bit, or only as a whole, repeats them or not, counts or not, and breaks off or
 * not. Whatever happens: what is billed is at least what the words that passed can be, a true count is never doubted
 * because of what is repeated, and it is billed once.
 */

const RUNS = 40;
const server = await openChatServer(t);

/** Each is one token, of at most eight bytes. */
const WORDS = [' think', ' deeply', ' about', ' number', ' the', ' of'];
const WORD = new RegExp(WORDS.join('|'), 'g');
const countWords = (text: string): number => text.match(WORD)?.length ?? 0;
/** Returns the fewest tokens that the words in a text can be, by their length and by their number. */
function fewestTokens(text: string): number {
  const found = text.match(WORD) ?? [];
  return Math.floor(Math.min(found.join('').length / 8, found.length * 0.75));
}

/** How the items of each kind are written. */
const KINDS = {
  message: { member: 'text', delta: 'response.output_text', toItem: (text: string) => message(text) },
  reasoning: { member: 'text', delta: 'response.reasoning_summary_text', toItem: (text: string) => reasoning(text) },
  call: {
    member: 'arguments',
    delta: 'response.function_call_arguments',
    toItem: (text: string) => functionCall(text, 'f'),
  },
} as const;

const item = fc.record({
  kind: fc.constantFrom('message', 'reasoning', 'call'),
  bits: fc.array(
    fc.tuple(fc.constantFrom(...WORDS), fc.integer({ min: 1, max: 40 })).map(([word, times]) => word.repeat(times)),
    { minLength: 1, maxLength: 5 },
  ),
  hasBits: fc.boolean(),
  isTextRepeated: fc.boolean(),
  isItemRepeated: fc.boolean(),
  /** Whether upstream says where it belongs as the repetitions do. */
  isMisplaced: fc.boolean(),
});
type Item = typeof item extends fc.Arbitrary<infer Value> ? Value : never;

function itemToEvents({ kind, bits, hasBits, isTextRepeated, isItemRepeated, isMisplaced }: Item, index: number) {
  const { member, delta, toItem } = KINDS[kind];
  const place = { item_id: `item_${index}`, output_index: isMisplaced ? 0 : index, content_index: 0, summary_index: 0 };
  const text = bits.join('');
  return [
    ...(hasBits ? bits.map((bit) => event(`${delta}.delta`, { ...place, delta: bit })) : []),
    ...(isTextRepeated ? [event(`${delta}.done`, { ...place, output_index: index, [member]: text })] : []),
    ...(isItemRepeated ? [event('response.output_item.done', { output_index: index, item: toItem(text) })] : []),
  ].join('');
}

const scenario = fc.record({
  items: fc.array(item, { minLength: 1, maxLength: 5 }),
  end: fc.constantFrom('completed', 'completed', 'incomplete', 'cut', 'closed'),
  count: fc.constantFrom('true', 'true', 'none', 'zero'),
});
type Scenario = typeof scenario extends fc.Arbitrary<infer Value> ? Value : never;

const toText = ({ items }: Scenario) => items.flatMap(({ bits }) => bits).join('');

const streamOf =
  (scenario: Scenario): Answering =>
  async (httpResponse) => {
    const { items, end, count } = scenario;
    const output = items.map(({ kind, bits }) => KINDS[kind].toItem(bits.join('')));
    const truth = toResponseUsage(12, countWords(toText(scenario)) + items.length);
    const usage = { true: truth, none: null, zero: toResponseUsage(0, 0) }[count];
    startStream(httpResponse);
    const last = ['completed', 'incomplete'].includes(end)
      ? event(`response.${end}`, { response: response(output, usage) })
      : '';
    const body = created + items.map(itemToEvents).join('') + last;
    await new Promise((written) => httpResponse.write(body, written));
    await new Promise((turn) => setImmediate(turn));
    if (end === 'cut') httpResponse.destroy();
    else httpResponse.end();
  };

/** Returns the longest that what has passed says of the answer: bit by bit, or repeated. */
function toPassed(payload: string): number {
  const events = payload.split('\n\n').filter((text) => text.startsWith('event: '));
  const bits = events.filter((text) => /^event: \S+\.delta\n/.test(text)).join('');
  const whole = events.find((text) => /^event: response\.(completed|incomplete)\n/.test(text)) ?? '';
  return Math.max(fewestTokens(bits), fewestTokens(whole));
}

t.test('whatever is repeated or is not, the words that passed are billed, and once', async (t) => {
  await fc.assert(
    fc.asyncProperty(scenario, async (scenario) => {
      const user = await userWith(server, 100_000);
      server.upstream.answer(streamOf(scenario));
      const asked = { model: 'openai/gpt-4', input: 'Hello! How are you?', stream: true };
      const { payload } = await user.as('POST', '/v1/responses', asked);
      const [generation] = await until('it is settled', async () => {
        const found = await readGenerations(server, user);
        return found[0]?.status === 'held' ? undefined : found;
      });
      const output = generation?.output_tokens ?? 0;
      const told = `${JSON.stringify(generation)} for ${payload}`;
      if (output < toPassed(payload)) throw new Error(`less was billed than has passed: ${told}`);
      const words = countWords(toText(scenario));
      const isCounted = scenario.count === 'true' && ['completed', 'incomplete'].includes(scenario.end);
      if (isCounted && (generation?.provenance !== 'provider_final' || output !== words + scenario.items.length)) {
        throw new Error(`a true count was doubted: ${told}`);
      }
      const broughtNothing = generation?.status === 'released' || scenario.end === 'cut';
      // What surrounds words is written as well; what a hold of 2,048 and its windows pay for is enough for all of it.
      if (!broughtNothing && output > 2 * words + 20 * scenario.items.length) throw new Error(`too much: ${told}`);
      const { used, debt, reserved } = await readBalance(server, user);
      if (used !== (generation?.input_tokens ?? 0) + output || debt + reserved > 0) throw new Error(`balance: ${told}`);
    }),
    { numRuns: RUNS },
  );
  await server.verifyLedger(t);
});

t.end();
