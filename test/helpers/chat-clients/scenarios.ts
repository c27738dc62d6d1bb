import type { Test } from 'tap';
import { createApiKey } from '../accounts.js';
import { type ChatServer, openChatServer, readBalance, readGenerations, userWith } from '../chat.js';
import { createDeferred } from '../deferred.js';
import {
  type Answering,
  chunk,
  completion,
  DONE,
  startStream,
  stopChunk,
  streaming,
  textChunk,
  toUsage,
  usageChunk,
  whole,
} from '../fakes/openrouter.js';
import { untilTrue } from '../until.js';
import { type ChatClient, MODEL, type Question, type ShownError, type Trouble, WEATHER_TOOL } from './chat-client.js';

/** A PNG of one pixel. */
const IMAGE =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const TOKENS = 10_000;

/** A message of the model's, and the deltas it comes in. */
interface Told {
  readonly message: object;
  readonly deltas: readonly object[];
  readonly finishReason?: string;
}

const say = (...pieces: readonly string[]): Told => ({
  message: { content: pieces.join('') },
  deltas: pieces.map((content) => ({ content })),
});

const CALL = { id: 'call_1', type: 'function' } as const;
const ARGUMENTS = ['{"ci', 'ty":"Rome"}'] as const;
const CALL_WEATHER: Told = {
  message: {
    content: null,
    tool_calls: [{ ...CALL, function: { name: WEATHER_TOOL.name, arguments: ARGUMENTS.join('') } }],
  },
  deltas: [
    { tool_calls: [{ index: 0, ...CALL, function: { name: WEATHER_TOOL.name, arguments: '' } }] },
    ...ARGUMENTS.map((text) => ({ tool_calls: [{ index: 0, function: { arguments: text } }] })),
  ],
  finishReason: 'tool_calls',
};
const THINK: Told = {
  message: { content: 'Hello!', reasoning: 'They greet me.' },
  deltas: [{ reasoning: 'They greet' }, { reasoning: ' me.' }, { content: 'Hello!' }],
};

/** Answers as a model does, as it was asked: in a stream or whole. */
function tell({ message, deltas, finishReason = 'stop' }: Told, input = 12, output = 8): Answering {
  return (response, request) => {
    if (request.body['stream'] !== true) {
      const choices = [{ index: 0, message: { role: 'assistant', ...message }, finish_reason: finishReason }];
      return whole({ ...completion(input, output), choices })(response, request);
    }
    const toChunk = (delta: object, reason: string | null) =>
      chunk({ choices: [{ index: 0, delta: { role: 'assistant', ...delta }, finish_reason: reason }] });
    const chunks = [...deltas.map((delta) => toChunk(delta, null)), toChunk({}, finishReason)];
    return streaming(`${chunks.join('')}${usageChunk(input, output)}${DONE}`)(response, request);
  };
}

/** Answers requests one after the other, the last answer for good. */
function inTurn(...answers: readonly Answering[]): Answering {
  let next = 0;
  return (response, request) => {
    const answer = answers[Math.min(next, answers.length - 1)];
    next += 1;
    return answer?.(response, request);
  };
}

const fail =
  (status: number, error: object, headers: Record<string, string> = {}): Answering =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify({ error }));
  };

/** What a test of one client has at hand. */
interface Stage {
  readonly client: ChatClient;
  readonly server: ChatServer;
  readonly baseUrl: string;
}

/** Somebody with tokens and a key, who asks through the client. */
async function enter({ client, server, baseUrl }: Stage, tokens = TOKENS) {
  const user = await userWith(server, tokens);
  const { ask } = client.connect(baseUrl, await createApiKey(user));
  const before = server.upstream.requests.length;
  return {
    ask,
    /** The requests that reached upstream since. */
    requests: () => server.upstream.requests.slice(before),
    readUsed: async () => (await readBalance(server, user)).used,
    /** Waits until as many requests are settled, and none is open. */
    settled: (count: number) =>
      untilTrue(async () => {
        const generations = await readGenerations(server, user);
        return generations.length === count && generations.every(({ status }) => status === 'settled');
      }),
  };
}

/** Asks what must go wrong, and asserts what the client shows. */
async function expectTrouble(
  t: Test,
  client: ChatClient,
  trouble: Trouble,
  ask: (retries: Pick<Question, 'maxRetries'>) => Promise<unknown>,
): Promise<ShownError> {
  const retries = client.repeats.includes(trouble) ? { maxRetries: 0 } : {};
  const shown = await ask(retries).then(
    () => ({ kind: 'nothing', message: 'the client shows no error' }),
    (error: unknown) => client.toShownError(error),
  );
  t.match(shown, client.errors[trouble], `${trouble} is shown`);
  return shown;
}

/** A row of the matrix: what happens, streamed and whole. */
type Scenario = (t: Test, stage: Stage, isStreaming: boolean) => Promise<void>;

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'an answer is shown and billed': async (t, { server, ...stage }, isStreaming) => {
    const { ask, readUsed, requests } = await enter({ server, ...stage });
    server.upstream.answer(tell(say('Hel', 'lo', '!')));
    const pieces: string[] = [];
    const reply = await ask({ isStreaming, onText: (text) => pieces.push(text) });
    t.match(reply, { text: 'Hello!', finishReason: 'stop', usage: { input: 12, output: 8 } });
    if (isStreaming) t.strictSame(pieces.filter(Boolean), ['Hel', 'lo', '!'], 'it came in pieces');
    t.match(requests(), [{ body: { model: MODEL, stream: isStreaming } }]);
    t.equal(await readUsed(), 20);
  },

  'a tool is called, and its result goes back': async (t, { server, ...stage }, isStreaming) => {
    const { ask, readUsed, requests } = await enter({ server, ...stage });
    server.upstream.answer(inTurn(tell(CALL_WEATHER, 40, 9), tell(say('It is ', 'warm.'), 60, 5)));
    const reply = await ask({ isStreaming, hasTool: true });
    t.match(reply, { text: 'It is warm.', toolCalls: [{ name: 'weather', input: { city: 'Rome' } }] });
    const [first, second] = requests();
    t.match(first?.body, { tools: [{ type: 'function', function: { name: 'weather' } }] });
    const call = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: /^\{"city": ?"Rome"\}$/ } };
    const messages = [
      { role: 'assistant', tool_calls: [call] },
      { role: 'tool', tool_call_id: 'call_1', content: /21/ },
    ];
    const sent = second?.body['messages'];
    t.match(Array.isArray(sent) ? sent.slice(-2) : [], messages);
    t.equal(requests().length, 2);
    t.equal(await readUsed(), 114);
  },

  'a picture goes along': async (t, { server, ...stage }, isStreaming) => {
    const { ask, readUsed, requests } = await enter({ server, ...stage });
    server.upstream.answer(tell(say('A dot.'), 300, 4));
    t.match(await ask({ isStreaming, image: IMAGE }), { text: 'A dot.' });
    const [{ body } = { body: {} }] = requests();
    t.match(JSON.stringify(body), `"image_url":{"url":"${IMAGE}"`);
    t.equal(await readUsed(), 304);
  },

  'an answer has the shape that was asked for': async (t, { server, ...stage }, isStreaming) => {
    const { ask, readUsed, requests } = await enter({ server, ...stage });
    server.upstream.answer(tell(say('{"city":"Rome",', '"degrees":21}'), 90, 8));
    const reply = await ask({ isStreaming, isStructured: true });
    t.strictSame(reply.object, { city: 'Rome', degrees: 21 });
    const schema = { properties: { city: { type: 'string' }, degrees: { type: 'number' } } };
    t.match(requests(), [{ body: { response_format: { type: 'json_schema', json_schema: { schema } } } }]);
    t.equal(await readUsed(), 98);
  },

  'what the model thought is shown where the client can': async (t, { server, client, ...stage }, isStreaming) => {
    const { ask, readUsed } = await enter({ server, client, ...stage });
    server.upstream.answer(tell(THINK));
    const reply = await ask({ isStreaming });
    t.equal(reply.text, 'Hello!');
    t.equal(reply.reasoning, client.showsReasoning ? 'They greet me.' : undefined);
    t.equal(await readUsed(), 20);
  },

  'a request that upstream refuses is refused once, and free': async (t, { server, client, ...stage }, isStreaming) => {
    const { ask, readUsed, requests } = await enter({ server, client, ...stage });
    server.upstream.answer(fail(400, { code: 'context_length_exceeded', message: 'secret words of upstream' }));
    const shown = await expectTrouble(t, client, 'refused', (retries) => ask({ isStreaming, ...retries }));
    t.notMatch(JSON.stringify(shown), /secret words/);
    t.equal(requests().length, 1, 'it was not tried again');
    t.equal(await readUsed(), 0);
  },

  'upstream fails before it answers, which is free': async (t, { server, client, ...stage }, isStreaming) => {
    const { ask, readUsed } = await enter({ server, client, ...stage });
    server.upstream.answer(fail(500, { code: 500, message: 'secret words of upstream' }));
    const shown = await expectTrouble(t, client, 'failed', () => ask({ isStreaming, maxRetries: 0 }));
    t.notMatch(JSON.stringify(shown), /secret words/);
    t.equal(await readUsed(), 0);
  },

  'upstream takes the request and breaks off: it is paid for once': async (
    t,
    { server, client, ...stage },
    isStreaming,
  ) => {
    const { ask, readUsed, requests } = await enter({ server, client, ...stage });
    server.upstream.answer((response) => void response.destroy());
    await expectTrouble(t, client, 'lost', (retries) => ask({ isStreaming, ...retries }));
    t.equal(requests().length, 1, 'it was not tried again');
    t.ok((await readUsed()) > 1_000, 'what was held is billed');
  },

  'a rate limit is waited for as upstream asks, and then answered': async (t, { server, ...stage }, isStreaming) => {
    const { ask, readUsed, requests } = await enter({ server, ...stage });
    const limit = fail(429, { code: 429, message: 'slow down' }, { 'retry-after': '1' });
    server.upstream.answer(inTurn(limit, tell(say('Hello!'))));
    t.match(await ask({ isStreaming }), { text: 'Hello!' });
    t.equal(requests().length, 2);
    t.equal(await readUsed(), 20);
  },

  'an empty balance is known for what it is': async (t, { server, client, ...stage }, isStreaming) => {
    const { ask, requests } = await enter({ server, client, ...stage }, 0);
    await expectTrouble(t, client, 'empty balance', (retries) => ask({ isStreaming, ...retries }));
    t.equal(requests().length, 0, 'nothing reached upstream');
  },

  'a bad key is known for what it is': async (t, { client, server, baseUrl }, isStreaming) => {
    const before = server.upstream.requests.length;
    const { ask } = client.connect(baseUrl, 'tlk_nobody');
    await expectTrouble(t, client, 'bad key', (retries) => ask({ isStreaming, ...retries }));
    t.equal(server.upstream.requests.length, before);
  },

  'an error after half an answer is shown, and what had come is billed': async (
    t,
    { server, client, ...stage },
    isStreaming,
  ) => {
    const { ask, readUsed, requests } = await enter({ server, client, ...stage });
    const error = { code: 502, message: 'secret words of upstream' };
    const half = textChunk('Hello, ') + textChunk('dear ') + chunk({ error, ...FAILED, usage: toUsage(12, 3) }) + DONE;
    server.upstream.answer(
      isStreaming ? streaming(half) : whole({ ...completion(12, 3), error, choices: FAILED.choices }),
    );
    let text = '';
    const shown = await expectTrouble(t, client, 'failed in the stream', (retries) =>
      ask({
        isStreaming,
        onText: (piece) => {
          text += piece;
        },
        ...retries,
      }),
    );
    if (isStreaming) t.equal(text, 'Hello, dear ');
    t.notMatch(JSON.stringify(shown), /secret words/);
    t.equal(requests().length, 1, 'it was not tried again');
    t.equal(await readUsed(), 15);
  },

  'what the user stops is paid for as far as it came': async (t, { server, client, ...stage }, isStreaming) => {
    const { ask, readUsed, settled } = await enter({ server, client, ...stage });
    const stopping = new AbortController();
    const stopped = createDeferred();
    server.upstream.answer(async (response, request) => {
      if (isStreaming) {
        startStream(response);
        response.write(textChunk('Hello'));
      } else stopping.abort();
      await stopped.promise;
      if (isStreaming) response.end(stopChunk() + usageChunk(12, 8) + DONE);
      else await whole(completion())(response, request);
    });
    const asking = expectTrouble(t, client, 'aborted', (retries) =>
      ask({ isStreaming, signal: stopping.signal, onText: () => stopping.abort(), ...retries }),
    );
    await asking;
    // A stream ends upstream as well; what comes whole goes on.
    if (isStreaming) await settled(1);
    stopped.resolve();
    await settled(1);
    const used = await readUsed();
    if (isStreaming) t.ok(used > 0 && used < 1_000, `${used} were used`);
    else t.equal(used, 20, 'upstream goes on with what comes whole');
  },
};
const FAILED = { choices: [{ index: 0, delta: { content: '' }, message: { content: '' }, finish_reason: 'error' }] };

/** Takes a client through every scenario, streamed and whole, against a server that listens. */
export async function testChatClient(t: Test, client: ChatClient): Promise<void> {
  const server = await openChatServer(t);
  const baseUrl = `${await server.listen()}/api/v1`;
  // After an abort clients connect anew, and a connection without a request is not idle to a server that closes.
  t.after(() => server.app.server.closeAllConnections());
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    for (const isStreaming of [true, false]) {
      await t.test(`${client.name}, ${isStreaming ? 'streamed' : 'whole'}: ${name}`, async (t) => {
        await scenario(t, { client, server, baseUrl }, isStreaming);
        await server.verifyLedger(t);
      });
    }
  }
}
