import type { Chat, ChatEvent, Client } from '../../src/client/client.js';
import { createApiKey } from '../helpers/accounts.js';
import { openChatServer, readBalance, userWith } from '../helpers/chat.js';
import { memoryStorage, openClient, openNetwork } from '../helpers/client.js';
import { startStream, streaming, textChunk, usualStream, whole } from '../helpers/fakes/openrouter.js';
import t from '../helpers/run/tap.js';
import { untilTrue } from '../helpers/until.js';

const server = await openChatServer(t);
const url = await server.listen();
const person = await userWith(server, 100_000);
const apiKey = await createApiKey(person);
const HELLO = { messages: [{ role: 'user' as const, content: 'Hello!' }], max_tokens: 50 };

async function collect(events: ReturnType<Chat['stream']>): Promise<ChatEvent[]> {
  const seen: ChatEvent[] = [];
  for await (const event of events) seen.push(event);
  return seen;
}
const textOf = (events: readonly ChatEvent[]) =>
  events.map((event) => (event.type === 'text' ? event.text : '')).join('');
const open = (options: Parameters<typeof openClient>[2] = {}): Client => openClient(t, url, { apiKey, ...options });

t.test('an answer comes as it is written, and the balance at its end', async (t) => {
  const events = await collect(open().chat.stream(HELLO));
  t.equal(textOf(events), 'Hello!');
  t.match(events.at(-1), { type: 'tokens', tokens: { tokens_left: 99_980, tokens_used: 20 } });
});

t.test("the same in OpenAI's format, with all its fields", async (t) => {
  const chunks = [];
  const body = { ...HELLO, model: 'openai/gpt-4', seed: 1, stream_options: { include_usage: true } };
  for await (const chunk of open().chat.completions(body)) chunks.push(chunk);
  t.match(chunks.at(-1), { usage: { total_tokens: 20 } });
  t.match(server.upstream.requests.at(-1)?.body, { seed: 1 });
});

t.test('texts arrive whole, however the network cuts them', async (t) => {
  const cutting: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    const bytes = new Uint8Array(await response.arrayBuffer());
    const body = new ReadableStream({
      start: (controller) => {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
        controller.close();
      },
    });
    return new Response(body, { status: response.status, headers: response.headers });
  };
  server.upstream.answer(streaming(usualStream().replace('Hello', 'Grüße 👋')));
  t.equal(textOf(await collect(open({ fetch: cutting }).chat.stream(HELLO))), 'Grüße 👋!');
});

t.test('who leaves the loop, or aborts, ends the request', async (t) => {
  server.upstream.answer((response) => {
    startStream(response);
    response.write(textChunk('One'));
  });
  const before = server.upstream.aborted();
  for await (const event of open().chat.stream(HELLO)) {
    if (event.type === 'text') break;
  }
  await untilTrue(() => server.upstream.aborted() === before + 1);
  const abort = new AbortController();
  const read = async () => {
    for await (const event of open().chat.stream(HELLO, { signal: abort.signal })) {
      if (event.type === 'text') abort.abort(new Error('enough'));
    }
  };
  await t.rejects(read(), { message: 'enough' });
  await untilTrue(() => server.upstream.aborted() === before + 2);
});

t.test('what goes wrong in the middle is an error, in both formats', async (t) => {
  server.upstream.answer((response) => {
    startStream(response);
    response.end(textChunk('One'));
  });
  const { chat } = open();
  const failure = { name: 'TokenledgerError', code: /^upstream_failed$/i, status: 200 };
  await t.rejects(collect(chat.stream(HELLO)), failure);
  await t.rejects(async () => {
    for await (const _chunk of chat.completions({ ...HELLO, model: 'openai/gpt-4' }));
  }, failure);
});

t.test('an answer that breaks off is told from one that ends', async (t) => {
  const broken: typeof fetch = async () => new Response('data: {"choices":[]}\n\n');
  await t.rejects(collect(open({ fetch: broken }).chat.stream(HELLO)), { code: 'NETWORK_ERROR' });
});

t.test('a provider that is busy is asked again; what may have been paid for is not', async (t) => {
  const waits: number[] = [];
  const wait = async (milliseconds: number) => {
    waits.push(milliseconds);
    server.upstream.answer(streaming(usualStream()));
  };
  server.upstream.answer((response) => {
    response.writeHead(429, { 'retry-after': '3' }).end('{}');
  });
  t.equal(textOf(await collect(open({ retries: 1, wait }).chat.stream(HELLO))), 'Hello!');
  t.strictSame(waits, [3_000]);
  server.upstream.answer(whole({}, 504));
  await t.rejects(collect(open({ retries: 1, wait }).chat.stream(HELLO)), {
    code: 'UPSTREAM_TIMEOUT',
    shouldRetry: false,
  });
  t.equal(waits.length, 1);
  const network = openNetwork();
  network.state = 'loses';
  server.upstream.answer(streaming(usualStream()));
  await t.rejects(collect(open({ network, retries: 1, wait }).chat.stream(HELLO)), { code: 'NETWORK_ERROR' });
  t.equal(network.requests.length, 1);
});

t.test('a session signs requests, and is refreshed before', async (t) => {
  const storage = memoryStorage();
  const client = openClient(t, url, { storage });
  await client.account.signIn(person.email, person.password);
  const session = JSON.parse(String(await storage.get('tokenledger.session')));
  await storage.set('tokenledger.session', JSON.stringify({ ...session, expiresAt: 0 }));
  t.equal(textOf(await collect(client.chat.stream(HELLO))), 'Hello!');
});

t.test('an empty balance is told before anything is asked', async (t) => {
  const poor = await userWith(server, 0);
  const { chat } = open({ apiKey: await createApiKey(poor) });
  await t.rejects(collect(chat.stream(HELLO)), { code: 'INSUFFICIENT_TOKENS', status: 403 });
  await t.rejects(chat.completions({ ...HELLO, model: 'openai/gpt-4' }).next(), {
    code: 'insufficient_quota',
    status: 429,
  });
});

t.test('in the end nothing is held, and the books add up', async (t) => {
  await untilTrue(async () => (await readBalance(server, person)).reserved === 0);
  await server.verifyLedger(t);
});

t.end();
