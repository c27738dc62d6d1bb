import { isOpenRouter } from '../../../src/features/chat/openrouter/dialect.js';
import { openChatServer, QUESTION, userWith } from '../../helpers/chat.js';
import { completion, DONE, streaming, textChunk, usageChunk, whole } from '../../helpers/fakes/openrouter.js';
import t from '../../helpers/run/tap.js';

const server = await openChatServer(t);
const user = await userWith(server, 1_000_000_000);
server.upstream.answer(whole(completion()));

const post = (payload: string | object, path = '/v1/chat/completions') =>
  user.as('POST', path, payload, { 'content-type': 'application/json' });
const body = (fields: object) => ({ model: 'openai/gpt-4', ...QUESTION, max_tokens: 10, ...fields });
const lastBody = () => server.upstream.requests.at(-1)?.body;

const WISHES = {
  cache_control: { type: 'ephemeral' },
  chat_template_kwargs: { enable_thinking: false },
  include_reasoning: true,
  prompt_cache_key: 'key',
  prompt_cache_retention: '24h',
  reasoning: { effort: 'high', exclude: false },
  reasoning_effort: 'low',
  session_id: 'session',
  thinking: { type: 'enabled', budget_tokens: 1_024 },
  top_a: 0.5,
  trace: { trace_id: 'x' },
  transforms: ['middle-out'],
  verbosity: 'low',
};

t.test("OpenRouter's and other providers' own fields are passed on as wishes", async (t) => {
  for (const [name, value] of Object.entries(WISHES)) {
    const response = await post(body({ [name]: value }));
    t.equal(response.statusCode, 200, `${name} ${response.payload}`);
    t.strictSame(lastBody()?.[name], value, name);
    t.equal((await post(body({ [name]: null }))).statusCode, 200, `${name}: null`);
    t.notOk(Object.hasOwn(lastBody() ?? {}, name), `${name}: null is left out`);
  }
  await server.verifyLedger(t);
});

t.test('fields that have no say here are dropped', async (t) => {
  const response = await post(body({ debug: { echo_upstream_body: true }, route: 'fallback', usage: null }));
  t.equal(response.statusCode, 200);
  t.strictSame(Object.keys(lastBody() ?? {}).sort(), ['max_tokens', 'messages', 'model', 'stream', 'usage']);
});

t.test('usage: {include: true} asks for the chunk about usage', async (t) => {
  server.upstream.answer(streaming(textChunk('Hello') + usageChunk(12, 8) + DONE));
  const asked = await post(body({ stream: true, usage: { include: true } }));
  t.match(asked.payload, /"total_tokens":20/);
  const notAsked = await post(body({ stream: true, usage: { include: false } }));
  t.notMatch(notAsked.payload, /"total_tokens":20/);
  server.upstream.answer(whole(completion()));
  await server.verifyLedger(t);
});

t.test('usage: {include: true} goes upstream only where upstream is OpenRouter', async (t) => {
  await post(body({ usage: { include: true } }));
  t.strictSame(lastBody()?.['usage'], { include: true });

  const other = await openChatServer(t, {
    environment: { OPENROUTER_BASE_URL: server.upstream.url.replace('/api/v1', '/v1') },
  });
  const owner = await userWith(other, 1_000_000);
  for (const path of ['/v1/chat/completions', '/api/chat/stream']) {
    await owner.as('POST', path, { ...QUESTION, model: 'a/b', stream: true });
    t.equal(server.upstream.requests.at(-1)?.path, '/v1/chat/completions');
    t.notOk(Object.hasOwn(lastBody() ?? {}, 'usage'), path);
    t.match(lastBody(), { stream_options: { include_usage: true } });
  }
});

t.test('OpenRouter is known by its host', (t) => {
  for (const [url, is] of [
    ['https://openrouter.ai/api/v1', true],
    ['https://eu.openrouter.ai/api/v1', true],
    ['https://openrouter.ai.example.com/api/v1', false],
    ['https://notopenrouter.ai/api/v1', false],
    ['https://api.openai.com/v1', false],
    ['http://127.0.0.1:11434/v1', false],
  ] as const) {
    t.equal(isOpenRouter(url), is, url);
  }
  t.end();
});

t.test('a field that is refused is named', async (t) => {
  const cases: readonly (readonly [fields: object, param: string])[] = [
    [{ best_of: 3 }, 'best_of'],
    [{ search_parameters: { mode: 'on' } }, 'search_parameters'],
    [{ max_tokens: 0 }, 'max_tokens'],
    [{ max_tokens: 'many' }, 'max_tokens'],
    [{ n: 1_000 }, 'n'],
    [{ model: undefined }, 'model'],
    [{ model: 'a b' }, 'model'],
    [{ messages: [] }, 'messages'],
    [{ messages: [{ role: 'user' }, { content: 'x' }] }, 'messages[1].role'],
    [{ messages: [{ role: 5 }] }, 'messages[0].role'],
    [{ stream_options: { include_usage: 'yes' } }, 'stream_options.include_usage'],
    [{ usage: 'yes' }, 'usage'],
  ];
  for (const [fields, param] of cases) {
    const response = await post(body(fields));
    t.equal(response.statusCode, 400, JSON.stringify(fields));
    const { error } = response.json<{ error: { message: string; param: string } }>();
    t.equal(error.param, param);
    t.ok(error.message.startsWith(`${param} `), error.message);
  }
});

/** Sends a raw body; returns the raw body that reached upstream. */
async function passOn(raw: string): Promise<string> {
  const response = await post(raw);
  if (response.statusCode !== 200) throw new Error(response.payload);
  return server.upstream.requests.at(-1)?.text ?? '';
}

const NUMBERS = [
  '9007199254740993',
  '-12345678901234567890',
  '123456789012345678901234567890',
  '0.1234567890123456789',
  '1e400',
  '1E-400',
  '-0.000000000000000000000000012345678901234567',
];

t.test('numbers that JavaScript cannot hold go upstream with every digit', async (t) => {
  const messages = '[{"role":"user","content":"\\"9007199254740993\\" \\\\"}]';
  for (const number of NUMBERS) {
    const parameters = `{"type":"object","properties":{"id":{"enum":[${number},1,{"a":${number}}]}}}`;
    const tools = `[{"type":"function","function":{"name":"f","parameters":${parameters}}}]`;
    const sent = `{"model":"a/b","max_tokens":10,"seed":${number},"messages":${messages},"tools":${tools}}`;
    const passed = await passOn(sent);
    t.ok(passed.includes(`"seed":${number}`), passed);
    t.ok(passed.includes(`"tools":${tools}`), passed);
    t.ok(passed.includes(`"messages":${messages}`), passed);
    t.ok(passed.includes('"max_tokens":10'), passed);
  }
  await server.verifyLedger(t);
});

t.test('a number a client asks for twice is the last one, as everywhere', async (t) => {
  const raw = '{"model":"a/b","max_tokens":10,"messages":[{"role":"user","content":"x"}]';
  const passed = await passOn(`${raw},"seed":1,"seed":9007199254740993}`);
  t.ok(passed.includes('"seed":9007199254740993'));
  t.notOk(passed.includes('"seed":1'));
  const smuggled = `${raw},"seed":9007199254740993,"tools":[{"type":"web_search","type":"function"}]}`;
  t.ok((await passOn(smuggled)).includes('"tools":[{"type":"function"}]'), 'only what was looked at goes upstream');
});

t.test('two requests that differ in the last digit are two requests', async (t) => {
  const send = (seed: string) =>
    user.as(
      'POST',
      '/v1/chat/completions',
      `{"model":"a/b","max_tokens":10,"seed":${seed},"messages":[{"role":"user","content":"x"}]}`,
      { 'content-type': 'application/json', 'idempotency-key': 'digits' },
    );
  t.equal((await send('9007199254740992')).statusCode, 200);
  const again = await send('9007199254740992');
  t.match([again.statusCode, again.headers['x-should-retry']], [409, 'false']);
  t.equal((await send('9007199254740993')).statusCode, 422);
});

t.test('a tool may be described as deep as need be, and say anything', async (t) => {
  const deep = (levels: number) =>
    `${'{"type":"object","properties":{"a":'.repeat(levels)}{"type":"string"}${'}}'.repeat(levels)}`;
  const toTools = (levels: number) => `[{"type":"function","function":{"name":"f","parameters":${deep(levels)}}}]`;
  const toBody = (tools: string) =>
    `{"model":"a/b","max_tokens":10,"messages":[{"role":"user","content":"x"}],"tools":${tools}}`;
  t.ok((await passOn(toBody(toTools(200)))).includes(toTools(200)));
  t.equal((await post(toBody(toTools(10_000)))).statusCode, 400);

  const messages = [
    { role: 'user', content: 'Read the file.' },
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: '1', type: 'function', function: { name: 'f', arguments: '{}' } }],
    },
    { role: 'tool', tool_call_id: '1', content: 'ELF\u0000\u0001 \ud83d' },
  ];
  t.equal((await post(body({ messages }))).statusCode, 200);
  t.strictSame(lastBody()?.['messages'], messages);
  await server.verifyLedger(t);
});

t.test('contract 4 takes null for optional fields, and ignores what it does not know', async (t) => {
  const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } };
  const request = {
    messages: [
      { role: 'user', content: 'Hello!', id: 7, timestamp: 'now', name: 'me', tool_calls: null },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'x', id: 1, cache_control: null },
          { ...image, alt: 'y' },
        ],
      },
    ],
    access_token: null,
    model: null,
    temperature: null,
    max_tokens: null,
    stream: null,
    top_p: 1,
    plugins: [{ id: 'web' }],
    user: { id: 1 },
  };
  server.upstream.answer(streaming(textChunk('Hello') + usageChunk(12, 8) + DONE));
  const response = await post(request, '/api/chat/stream');
  t.equal(response.statusCode, 200, response.payload);
  t.match(response.headers['content-type'], /event-stream/);
  t.strictSame(lastBody(), {
    temperature: 0.7,
    messages: [
      { role: 'user', content: 'Hello!' },
      { role: 'user', content: [{ type: 'text', text: 'x' }, image] },
    ],
    model: 'openai/gpt-4',
    stream: true,
    stream_options: { include_usage: true },
    usage: { include: true },
  });
  server.upstream.answer(whole(completion()));
  await server.verifyLedger(t);
});

t.end();
