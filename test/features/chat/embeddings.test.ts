import { request } from 'node:http';
import OpenAI from 'openai';
import { openChatServer, readBalance, readGenerations, userWith } from '../../helpers/chat.js';
import { createDeferred } from '../../helpers/deferred.js';
import { embedding, embeddings } from '../../helpers/fakes/embeddings.js';
import { type Answering, whole } from '../../helpers/fakes/openrouter.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const server = await openChatServer(t);
const url = await server.listen();
const MODEL = 'openai/text-embedding-3-small';
const PATH = '/v1/embeddings';
const body = (fields: object = {}) => ({ model: MODEL, input: 'The quick brown fox', ...fields });
const { upstream } = server;

t.test("OpenAI's client gets its vectors, and the balance in the headers", async (t) => {
  const user = await userWith(server, 1_000);
  const { key } = (await user.as('POST', '/api/users/me/api-keys', { name: 'openai' })).json<{ key: string }>();
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key });
  upstream.answer(embedding);
  const { data, response } = await client.embeddings
    .create({ model: MODEL, input: ['The quick brown fox', 'jumps'], dimensions: 3, user: 'u' })
    .withResponse();
  t.strictSame(
    data.data.map((item) => [...item.embedding]),
    [
      [0.5, -0.25, 1],
      [0.5, -0.25, 1],
    ],
  );
  t.equal(response.headers.get('x-tokens-used'), '8');
  t.equal(response.headers.get('x-tokens-remaining'), '992');
  const [sent] = upstream.requests.slice(-1);
  t.equal(sent?.path, '/api/v1/embeddings');
  t.strictSame(sent?.body, {
    input: ['The quick brown fox', 'jumps'],
    dimensions: 3,
    user: 'u',
    encoding_format: 'base64',
    model: MODEL,
  });
  t.match(await readGenerations(server, user), [
    { input_tokens: 8, output_tokens: 0, provenance: 'provider_final', upstream_id: 'gen-e1', provider: 'openai' },
  ]);
  t.match(await client.embeddings.create({ model: MODEL, input: 'a', encoding_format: 'float' }), {
    data: [{ embedding: [0.5, -0.25, 1] }],
    usage: { prompt_tokens: 8 },
  });
  await server.verifyLedger(t);
});

const IMAGE = `data:image/png;base64,${Buffer.concat([
  Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'),
  Buffer.from([0, 0, 3, 232, 0, 0, 3, 232]),
]).toString('base64')}`;

/** Inputs, and the tokens that are held for them: nothing but the prompt. */
const INPUTS: readonly (readonly [name: string, input: unknown, held: number])[] = [
  ['a text', 'x'.repeat(300), 102],
  ['texts', ['x'.repeat(300), 'y'.repeat(30)], 114],
  ['token ids', Array.from({ length: 500 }, (_, id) => id), 502],
  ['lists of token ids', [[1, 2, 3], [4]], 8],
  ['a text that looks like an address', 'https://example.com/a', 9],
  [
    'parts',
    [
      {
        content: [
          { type: 'text', text: 'x'.repeat(300) },
          { type: 'image_url', image_url: { url: IMAGE } },
        ],
      },
    ],
    1_441,
  ],
];

t.test('every form of input is passed on as it came, and held for by what is in it', async (t) => {
  for (const [name, input, held] of INPUTS) {
    const user = await userWith(server, 10_000);
    let reserved = 0;
    upstream.answer(async (response, request) => {
      ({ reserved } = await readBalance(server, user));
      return whole(embeddings(1, { prompt_tokens: held, total_tokens: held }))(response, request);
    });
    const response = await user.as('POST', PATH, body({ input }));
    t.equal(response.statusCode, 200, `${name}: ${response.payload}`);
    t.strictSame(upstream.requests.at(-1)?.body['input'], input, name);
    t.equal(reserved, held, name);
    t.strictSame(await readBalance(server, user), { allocated: 10_000, used: held, reserved: 0, debt: 0 }, name);
  }
  await server.verifyLedger(t);
});

t.test('a balance of just what is held is enough, one token less is not', async (t) => {
  upstream.answer(whole(embeddings(1, { prompt_tokens: 5, total_tokens: 5 })));
  const input = 'x'.repeat(300);
  const rich = await userWith(server, 102);
  t.equal((await rich.as('POST', PATH, body({ input }))).statusCode, 200);
  const poor = await userWith(server, 101);
  const refused = await poor.as('POST', PATH, body({ input }));
  t.equal(refused.statusCode, 429);
  t.match(refused.json(), { error: { code: 'insufficient_quota', requested: 102, remaining: 101 } });
  await server.verifyLedger(t);
});

interface Bill {
  readonly provenance: 'provider_final' | 'estimated';
  readonly input: number;
}
const LONG = 'one two three four '.repeat(100);
/** What upstream counts for a long text and one vector, and what is billed. */
const BILLS: readonly (readonly [name: string, usage: unknown, bill: Bill])[] = [
  ['as usual', { prompt_tokens: 400, total_tokens: 400 }, { provenance: 'provider_final', input: 400 }],
  ['the prompt only', { prompt_tokens: 400 }, { provenance: 'provider_final', input: 400 }],
  ['the total only', { total_tokens: 400 }, { provenance: 'provider_final', input: 400 }],
  ['a total that is more', { prompt_tokens: 390, total_tokens: 400 }, { provenance: 'provider_final', input: 400 }],
  [
    'as text and as floats',
    { prompt_tokens: '400', total_tokens: 399.5 },
    { provenance: 'provider_final', input: 400 },
  ],
  ['under another name', { input_tokens: 400 }, { provenance: 'provider_final', input: 400 }],
  ['nothing', undefined, { provenance: 'estimated', input: 408 }],
  ['null', null, { provenance: 'estimated', input: 408 }],
  ['zeros', { prompt_tokens: 0, total_tokens: 0 }, { provenance: 'estimated', input: 408 }],
  ['nonsense', { prompt_tokens: -4, total_tokens: 'much' }, { provenance: 'estimated', input: 408 }],
  ['far too little', { prompt_tokens: 3, total_tokens: 3 }, { provenance: 'estimated', input: 408 }],
];

t.test('what is billed is the best of what upstream counts and what the request carries', async (t) => {
  for (const [name, usage, bill] of BILLS) {
    const user = await userWith(server, 10_000);
    upstream.answer(whole({ ...embeddings(1), usage }));
    t.equal((await user.as('POST', PATH, body({ input: LONG }))).statusCode, 200, name);
    const { provenance, input } = bill;
    t.match(await readGenerations(server, user), [{ provenance, input_tokens: input, output_tokens: 0 }], name);
  }
  await server.verifyLedger(t);
});

t.test('token ids are billed by their number where upstream does not count, or counts far too little', async (t) => {
  const input = Array.from({ length: 500 }, (_, id) => id);
  for (const usage of [undefined, { prompt_tokens: 0 }, { prompt_tokens: 8, total_tokens: 8 }]) {
    const user = await userWith(server, 10_000);
    upstream.answer(whole({ ...embeddings(1), usage }));
    await user.as('POST', PATH, body({ input }));
    t.match(await readGenerations(server, user), [{ provenance: 'estimated', input_tokens: 500 }]);
  }
  await server.verifyLedger(t);
});

const html: Answering = (response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<p>Secret');
const NO_ANSWERS: readonly (readonly [name: string, how: Answering, status: number, error: object])[] = [
  ['no JSON', html, 502, { code: 'upstream_failed' }],
  ['an object without vectors', whole({ object: 'list', data: [] }), 502, { code: 'upstream_failed' }],
  ['vectors that are no list', whole({ data: 'secret' }), 502, { code: 'upstream_failed' }],
  ['an error with status 200', whole({ error: { code: 503, message: 'Secret' } }), 502, { code: 'upstream_failed' }],
  [
    'an error',
    whole({ error: { code: 400, message: "This model's maximum context length is 8192 tokens" } }, 400),
    400,
    { code: 'context_length_exceeded' },
  ],
  ['a limit', whole({ error: { message: 'Secret' } }, 429), 429, { code: 'rate_limit_exceeded' }],
];

t.test('what is no answer is an error in our words, and free', async (t) => {
  const user = await userWith(server, 1_000);
  for (const [name, how, status, error] of NO_ANSWERS) {
    upstream.answer(how);
    const response = await user.as('POST', PATH, body());
    t.equal(response.statusCode, status, name);
    t.match(response.json(), { error: { message: String, type: String, ...error } }, name);
    t.notMatch(response.payload, /secret/i, name);
  }
  t.strictSame(await readBalance(server, user), { allocated: 1_000, used: 0, reserved: 0, debt: 0 });
  await server.verifyLedger(t);
});

t.test('an error that says what it cost is billed', async (t) => {
  const user = await userWith(server, 1_000);
  upstream.answer(whole({ error: { message: 'Secret' }, usage: { prompt_tokens: 9, total_tokens: 9 } }));
  t.equal((await user.as('POST', PATH, body())).statusCode, 502);
  t.equal((await readBalance(server, user)).used, 9);
  await server.verifyLedger(t);
});

t.test('a request that was lost is 504 for good, and costs what was held', async (t) => {
  const user = await userWith(server, 1_000);
  upstream.answer((response) => void response.destroy());
  const ask = () => user.as('POST', PATH, body({ input: 'x'.repeat(300) }), { 'idempotency-key': 'k' });
  const response = await ask();
  t.equal(response.statusCode, 504);
  t.equal(response.headers['x-should-retry'], 'false');
  t.match(response.json(), { error: { code: 'upstream_timeout', type: 'server_error' } });
  t.match(await readGenerations(server, user), [{ provenance: 'estimated', input_tokens: 102, output_tokens: 0 }]);
  t.equal((await ask()).statusCode, 409);
  await server.verifyLedger(t);
});

t.test('the same request with a key is paid for once, also against other endpoints', async (t) => {
  const user = await userWith(server, 1_000);
  upstream.answer(embedding);
  const ask = (fields: object) => user.as('POST', PATH, body(fields), { 'idempotency-key': 'k' });
  t.equal((await ask({})).statusCode, 200);
  t.match((await ask({})).json(), { error: { code: 'already_answered' } });
  t.match((await ask({ input: 'Another' })).json(), { error: { code: 'idempotency_mismatch' } });
  t.equal((await readBalance(server, user)).used, 8);
  await server.verifyLedger(t);
});

t.test('a client that goes away pays for what it asked for', async (t) => {
  const user = await userWith(server, 1_000);
  const [asked, released] = [createDeferred(), createDeferred()];
  upstream.answer(async (response, request) => {
    asked.resolve();
    await released.promise;
    return embedding(response, request);
  });
  const headers = { authorization: `Bearer ${user.token}`, 'content-type': 'application/json' };
  const client = request(url + PATH, { method: 'POST', headers }).on('error', () => {});
  client.end(JSON.stringify(body()));
  await asked.promise;
  await new Promise((gone) => client.on('close', gone).destroy());
  released.resolve();
  await untilTrue(async () => (await readGenerations(server, user))[0]?.status === 'settled');
  t.equal((await readBalance(server, user)).used, 8);
  await server.verifyLedger(t);
});

/** Requests that are refused, and the member the error names. */
const REFUSED: readonly (readonly [fields: object, param: string])[] = [
  [{ input: undefined }, 'input'],
  [{ input: null }, 'input'],
  [{ input: '' }, 'input'],
  [{ input: [] }, 'input'],
  [{ input: 12 }, 'input'],
  [{ input: {} }, 'input'],
  [{ input: ['a', ''] }, 'input[1]'],
  [{ input: ['a', 1] }, 'input[1]'],
  [{ input: [1, 'a'] }, 'input[1]'],
  [{ input: [1, -1] }, 'input[1]'],
  [{ input: [1.5] }, 'input[0]'],
  [{ input: [[]] }, 'input[0]'],
  [{ input: [[1], ['a']] }, 'input[1][0]'],
  [{ input: [{ content: [] }] }, 'input[0].content'],
  [{ input: [{ content: 'a' }] }, 'input[0].content'],
  [{ input: [{ content: [{ type: 'text', text: 'a' }] }, 'a'] }, 'input[1]'],
  [{ input: [null] }, 'input[0]'],
  [{ input: Array.from({ length: 2_049 }, () => 'a') }, 'input'],
  [{ model: undefined }, 'model'],
  [{ dimensions: 0 }, 'dimensions'],
  [{ encoding_format: 'hex' }, 'encoding_format'],
  [{ stream: true }, 'stream'],
  [{ plugins: [{ id: 'web' }] }, 'plugins'],
  [{ provider: { order: ['azure'] } }, 'provider.order'],
  [{ nonsense: 1 }, 'nonsense'],
];

t.test('what is refused is named, and reaches nobody', async (t) => {
  const user = await userWith(server, 100_000);
  const asked = upstream.requests.length;
  for (const [fields, param] of REFUSED) {
    const response = await user.as('POST', PATH, body(fields));
    const name = JSON.stringify(fields).slice(0, 80);
    t.equal(response.statusCode, 400, name);
    const { error } = response.json<{ error: { message: string; param: string } }>();
    t.match(error, { param, type: 'invalid_request_error', code: 'validation_failed' }, name);
    t.ok(error.message.startsWith(`${param} `), error.message);
  }
  t.match((await user.as('POST', PATH, body({ model: `${MODEL}:online` }))).json(), {
    error: { code: 'model_not_found', param: 'model' },
  });
  t.equal((await server.app.inject({ method: 'POST', url: PATH, payload: body() })).statusCode, 401);
  t.equal(upstream.requests.length, asked);
});

t.test("OpenRouter's fields are passed on, and null is as good as absent", async (t) => {
  const user = await userWith(server, 1_000);
  upstream.answer(embedding);
  const fields = { input_type: 'search_query', provider: { data_collection: 'deny' }, encoding_format: 'float' };
  const response = await user.as('POST', PATH, body({ ...fields, dimensions: null, user: null }));
  t.equal(response.statusCode, 200, response.payload);
  t.strictSame(upstream.requests.at(-1)?.body, { input: 'The quick brown fox', ...fields, model: MODEL });
  await server.verifyLedger(t);
});

t.test('only the models on offer are asked', async (t) => {
  const limited = await openChatServer(t, { environment: { CHAT_MODELS: 'openai/gpt-4' } });
  const user = await userWith(limited, 1_000);
  t.match((await user.as('POST', PATH, body())).json(), { error: { code: 'model_not_found' } });
  t.equal(limited.upstream.requests.length, 0);
});

t.end();
