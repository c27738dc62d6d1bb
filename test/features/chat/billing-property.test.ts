import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import fc from 'fast-check';
import { openChatServer, QUESTION, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import { type Answering, COMMENT, chunk, DONE, startStream } from '../../helpers/fakes/openrouter.js';
import t from '../../helpers/run/tap.js';
import { until } from '../../helpers/until.js';

/*
 * A random upstream, which writes under odd names, counts anywhere and anyhow, and breaks off, answers a random client,
 * who leaves anywhere. Whatever happens: what is billed is at least what the words that passed can be, and at most the
 * hold and what upstream said; it is billed once; and the books are clean.
 */

const RUNS = 40;
const server = await openChatServer(t);
const url = await server.listen();

/** Each is one token, of at most eight bytes. */
const WORDS = [' think', ' deeply', ' about', ' number', ' the', ' of'];
const WORD = new RegExp(WORDS.join('|'), 'g');
/** Returns the fewest tokens that the words in a text can be, by their length and by their number. */
function fewestTokens(text: string): number {
  const found = text.match(WORD) ?? [];
  return Math.floor(Math.min(found.join('').length / 8, found.length * 0.75));
}

const words = fc
  .tuple(fc.constantFrom(...WORDS), fc.oneof({ weight: 9, arbitrary: fc.nat(30) }, fc.nat(900)))
  .map(([word, times]) => word.repeat(times));

/** Ways to write down the same words. */
const NAMES: readonly ((text: string) => object)[] = [
  (text) => ({ role: 'assistant', content: text }),
  (text) => ({ content: [{ type: 'text', text }] }),
  (text) => ({ reasoning: text, reasoning_details: [{ type: 'reasoning.text', format: 'unknown' }] }),
  (text) => ({ reasoning_content: text }),
  (text) => ({ refusal: text }),
  (text) => ({ tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: 'go', arguments: text } }] }),
  (text) => ({ function_call: { arguments: text } }),
  (text) => ({ audio: { id: 'audio_1', transcript: text, data: 'UklGRg=='.repeat(100) } }),
  (text) => ({ images: [{ image_url: { url: `data:image/png;base64,${'iVBORw0K'.repeat(100)}` } }], x_words: text }),
  (text) => ({ type: text }),
  (text) => ({ Gedanken: { '': [[{ laut: text }]] } }),
];

const number = fc.oneof(
  fc.nat(50),
  fc.nat(3_000),
  fc.constantFrom(0, -1, -0, 7.5, 1e15, null, '12', ' 40 ', '9.0', '1e2', 'NaN', '', true, [], {}),
);
const usage = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.dictionary(fc.constantFrom('prompt_tokens', 'completion_tokens', 'total_tokens'), number),
  },
  fc.record({
    prompt_tokens: fc.nat(100),
    completion_tokens: number,
    completion_tokens_details: fc.record({ reasoning_tokens: number }),
  }),
  fc.constantFrom(null, 'free', [], { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }),
);
type Usage = Record<string, unknown> | string | unknown[] | null;

/** One event of upstream's stream. */
interface Step {
  readonly text: string;
  readonly usages: readonly Usage[];
}
const withUsage = (usage: Usage, text: string): Step => ({ text, usages: [usage] });
const plain = (text: string): Step => ({ text, usages: [] });
const place = fc.constantFrom('chunk', 'choice', 'delta', 'extension');

const step = (provider: string): fc.Arbitrary<Step> =>
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc
        .tuple(words, fc.constantFrom(...NAMES))
        .map(([text, toDelta]) =>
          plain(chunk({ choices: [{ index: 0, delta: toDelta(text), finish_reason: null }] }, 'gen-1', provider)),
        ),
    },
    {
      weight: 4,
      arbitrary: fc.tuple(usage, place, words).map(([usage, place, text]) => {
        const at = (name: string) => (place === name ? { usage } : {});
        const delta = { content: text, ...at('delta') };
        const choice = { index: 0, delta, ...at('choice') };
        const fields = { choices: [choice], ...at('chunk'), x_extension: at('extension') };
        return withUsage(usage, chunk(fields, 'gen-1', provider));
      }),
    },
    { weight: 2, arbitrary: usage.map((usage) => withUsage(usage, chunk({ choices: [], usage }, 'gen-1', provider))) },
    fc
      .constantFrom('stop', 'length', 'tool_calls')
      .map((finish_reason) => plain(chunk({ choices: [{ index: 0, delta: {}, finish_reason }] }, 'gen-1', provider))),
    fc.constant(plain(COMMENT)),
    fc.constant(plain(chunk({ error: { code: 502, message: 'internal' } }, 'gen-1', provider))),
  );

const scenario = fc.constantFrom('OpenAI', 'Google', '').chain((provider) =>
  fc.record({
    steps: fc.array(step(provider), { maxLength: 12 }),
    end: fc.constantFrom('done', 'done', 'closed', 'cut', 'cut within an event'),
    pieceBytes: fc.constantFrom(7, 100, 4_000, 1_000_000),
    lineEnd: fc.constantFrom('\n', '\n', '\r\n'),
    balance: fc.constantFrom(60, 300, 5_000, 100_000),
    maxTokens: fc.constantFrom(undefined, undefined, 20, 1_000),
    leavesAfter: fc.oneof(fc.constant(undefined), fc.nat(5_000)),
  }),
);
type Scenario = typeof scenario extends fc.Arbitrary<infer Value> ? Value : never;

/** Answers with the stream of a scenario. */
const streamOf =
  ({ steps, end, pieceBytes, lineEnd }: Scenario): Answering =>
  async (response) => {
    startStream(response);
    response.flushHeaders();
    const text = steps.map((step) => step.text).join('') + (end === 'done' ? DONE : '');
    const bytes = Buffer.from(text.replaceAll('\n', lineEnd));
    const last = end === 'cut within an event' ? bytes.length * 0.9 : bytes.length;
    for (let start = 0; start < last && !response.destroyed; start += pieceBytes) {
      response.write(bytes.subarray(start, Math.min(start + pieceBytes, last)));
      if (start % (50 * pieceBytes) === 0) await new Promise((turn) => setImmediate(turn));
    }
    if (end.startsWith('cut')) response.destroy();
    else response.end();
  };

/** Sends a request and returns all that came until its end, or until the client left. */
async function receive(token: string, body: object, leavesAfter: number | undefined): Promise<string> {
  const client = httpRequest(`${url}/api/chat/stream`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  });
  let received = '';
  client.on('error', () => {});
  client.on('response', (response) => {
    response.setEncoding('utf8').on('error', () => {});
    response.on('data', (data: string) => {
      received += data;
      if (leavesAfter !== undefined && received.length >= leavesAfter) client.destroy();
    });
  });
  client.end(JSON.stringify(body));
  await once(client, 'close');
  return received;
}

/** Returns the most that upstream can be said to have counted. */
function mostSaid(usages: readonly Usage[]): number {
  const counts = usages
    .map((usage) => JSON.stringify(usage))
    .join('')
    .matchAll(/"(\w+_tokens)":"?\s*([\d.e]+)/g);
  const most: Record<string, number> = {};
  for (const [, name = '', digits] of counts) {
    const count = Number(digits);
    if (count <= 1e9) most[name] = Math.max(most[name] ?? 0, Math.ceil(count));
  }
  return Object.values(most).reduce((sum, count) => sum + count, 0);
}

/** Checks what somebody was billed for the only request they made. */
async function checkBill(user: { readonly id: string }, tokens: number, passed: number, said: number) {
  const generation = await until('it is settled', async () => {
    const [found, ...others] = await readGenerations(server, user);
    if (others.length > 0) throw new Error('there is more than one generation');
    return found?.status === 'held' ? undefined : found;
  });
  const billed = (generation.input_tokens ?? 0) + (generation.output_tokens ?? 0);
  const [books] = await server.database.sql<{ held: number; events: number; cost: number }>(
    `select (select amount from reservations where subject_id = $1)::integer as held,
            count(*)::integer as events, coalesce(sum(cost), 0)::integer as cost
       from usage_events where subject_id = $1`,
    [user.id],
  );
  if (books === undefined) throw new Error('there are no books');
  const told = `${JSON.stringify(generation)}, ${passed} passed, ${books.held} held, ${said} said`;
  if ((generation.output_tokens ?? 0) < passed) throw new Error(`less was billed than has passed: ${told}`);
  if (passed > 0 && (generation.input_tokens ?? 0) < 1) throw new Error(`the prompt was free: ${told}`);
  if (billed > books.held + said) throw new Error(`more was billed than was held and said: ${told}`);
  if (books.cost !== billed || books.events !== (billed > 0 ? 1 : 0)) throw new Error(`not billed once: ${told}`);
  const { used, debt, reserved } = await readBalance(server, user);
  if (used + debt !== billed || reserved !== 0 || used > tokens) throw new Error(`the balance is wrong: ${told}`);
}

t.test('a stream is billed at least what passed, at most the hold and what upstream said, and once', async (t) => {
  await fc.assert(
    fc.asyncProperty(scenario, async (scenario) => {
      const user = await userWith(server, scenario.balance);
      server.upstream.answer(streamOf(scenario));
      const body = { ...QUESTION, ...(scenario.maxTokens !== undefined && { max_tokens: scenario.maxTokens }) };
      const received = await receive(user.token, body, scenario.leavesAfter);
      await checkBill(
        user,
        scenario.balance,
        fewestTokens(received),
        mostSaid(scenario.steps.flatMap((step) => step.usages)),
      );
    }),
    { numRuns: RUNS },
  );
  await server.verifyLedger(t);
});

const wholeAnswer = fc.record({
  text: words,
  toMessage: fc.constantFrom(...NAMES),
  usage,
  hasChoices: fc.boolean(),
  isError: fc.boolean(),
});

t.test('a whole answer is billed by the same rule', async (t) => {
  await fc.assert(
    fc.asyncProperty(wholeAnswer, async ({ text, toMessage, usage, hasChoices, isError }) => {
      const user = await userWith(server, 5_000);
      const choices = hasChoices ? [{ index: 0, message: toMessage(text), finish_reason: 'stop' }] : [];
      const answer = { id: 'gen-1', choices, usage, ...(isError && { error: { code: 502, message: 'internal' } }) };
      server.upstream.answer((response) => {
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
      });
      const { statusCode, payload } = await user.as('POST', '/api/chat/stream', { ...QUESTION, stream: false });
      const passed = statusCode === 200 ? fewestTokens(payload) : 0;
      await checkBill(user, 5_000, passed, mostSaid([usage]));
    }),
    { numRuns: RUNS },
  );
  await server.verifyLedger(t);
});

t.end();
