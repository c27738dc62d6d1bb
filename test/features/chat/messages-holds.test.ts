import { estimateMessages } from '../../../src/features/chat/formats/anthropic/prompt.js';
import { openChatServer, readBalance, userWith } from '../../helpers/chat.js';
import { usualMessage } from '../../helpers/fakes/anthropic.js';
import { createKey, MESSAGE, sendWithKey } from '../../helpers/messages.js';
import t from '../../helpers/run/tap.js';

const REMOTE = 20_000;
const TEXT = 'word '.repeat(108_000);
const base64 = (bytes: string | Buffer) => Buffer.from(bytes).toString('base64');
const PNG = Buffer.concat([
  Buffer.from('\x89PNG\r\n\x1a\n\0\0\0\0IHDR\0\0\x04\0\0\0\x04\0', 'latin1'),
  Buffer.alloc(500_000),
]);
const PDF = `%PDF-1.4\n/Type /Pages\n${'<< /Type /Page >>\n'.repeat(2)}`;
const data = (mediaType: string, bytes: string | Buffer) => ({
  type: 'base64',
  media_type: mediaType,
  data: base64(bytes),
});

/** Blocks, and the fewest and most tokens that are held for what is in them. */
const BLOCKS: readonly (readonly [name: string, block: object, least: number, most: number])[] = [
  ['text', { type: 'text', text: TEXT }, 180_000, 180_000],
  ['a picture of 1024 × 1024', { type: 'image', source: data('image/png', PNG) }, 1_399, 1_399],
  ['text that is said to be a picture', { type: 'image', source: data('image/png', TEXT) }, 180_000, 180_000],
  [
    'a picture by its address',
    { type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } },
    5_000,
    5_000,
  ],
  ['a PDF of two pages', { type: 'document', source: data('application/pdf', PDF) }, 6_000, 6_000],
  [
    'a document by its address',
    { type: 'document', source: { type: 'url', url: 'https://example.com/a.pdf' } },
    REMOTE,
    REMOTE,
  ],
  ['a document upstream has', { type: 'document', source: { type: 'file', file_id: 'file_1' } }, REMOTE, REMOTE],
  [
    'a document of plain text',
    { type: 'document', source: { type: 'text', media_type: 'text/plain', data: TEXT } },
    180_000,
    180_000,
  ],
  [
    'an address as a document of plain text',
    { type: 'document', source: { type: 'text', data: 'https://example.com' } },
    5,
    20,
  ],
  [
    'a document of blocks',
    { type: 'document', source: { type: 'content', content: [{ type: 'text', text: TEXT }] } },
    180_000,
    180_010,
  ],
  [
    'a picture a tool answered',
    { type: 'tool_result', tool_use_id: 'x', content: [{ type: 'image', source: data('image/png', PNG) }] },
    1_399,
    1_410,
  ],
  ['what a tool answered', { type: 'tool_result', tool_use_id: 'x', content: TEXT }, 180_000, 180_010],
  [
    'the address a tool was called with',
    { type: 'tool_use', id: 'x', name: 'fetch', input: { url: 'https://example.com' } },
    10,
    30,
  ],
  [
    'what a tool was called with',
    { type: 'tool_use', id: 'x', name: 'write', input: { file: { text: TEXT } } },
    180_000,
    180_030,
  ],
  [
    'something that was found',
    { type: 'search_result', source: 'https://example.com', title: 'x', content: [{ type: 'text', text: TEXT }] },
    180_000,
    180_030,
  ],
  [
    'thoughts, without their signature',
    { type: 'thinking', thinking: TEXT, signature: 'EqQB'.repeat(10_000) },
    180_000,
    180_010,
  ],
  ['a block nobody knows, with an address', { type: 'new', where: { url: 'https://example.com' } }, REMOTE, REMOTE],
];

t.test('a block is held for by what is in it', async (t) => {
  const estimate = (content: readonly object[]) =>
    estimateMessages({ messages: [{ role: 'user', content }] }, REMOTE).tokens;
  const empty = estimate([]);
  for (const [name, block, least, most] of BLOCKS) {
    const tokens = estimate([block]) - empty;
    t.ok(tokens >= least && tokens <= most + 40, `${name}: ${tokens}`);
  }
});

t.test('the system prompt, tools and the form of the answer are held for', async (t) => {
  const empty = estimateMessages(MESSAGE, REMOTE).tokens;
  for (const fields of [
    { system: TEXT },
    { system: [{ type: 'text', text: TEXT }] },
    { tools: [{ name: 'x', description: TEXT, input_schema: {} }] },
    { output_config: { format: { type: 'json_schema', schema: { description: TEXT } } } },
  ]) {
    const tokens = estimateMessages({ ...MESSAGE, ...fields }, REMOTE).tokens - empty;
    t.ok(tokens >= 180_000 && tokens < 180_050, `${Object.keys(fields)}: ${tokens}`);
  }
});

const server = await openChatServer(t);

t.test('five large documents at once cannot leave a debt', async (t) => {
  const user = await userWith(server, 10_000);
  server.upstream.answer(usualMessage);
  const asked = server.upstream.requests.length;
  const content = [{ type: 'document', source: { type: 'text', media_type: 'text/plain', data: TEXT } }];
  const body = { ...MESSAGE, messages: [{ role: 'user', content }] };
  const answers = await Promise.all(Array.from({ length: 5 }, () => user.as('POST', '/v1/messages', body)));
  t.strictSame(
    answers.map(({ statusCode }) => statusCode),
    [402, 402, 402, 402, 402],
  );
  t.equal(server.upstream.requests.length, asked, 'none of them reached upstream');
  t.strictSame(await readBalance(server, user), { allocated: 10_000, used: 0, reserved: 0, debt: 0 });
  await server.verifyLedger(t);
});

t.test('tokens are counted for nothing, without upstream', async (t) => {
  const user = await userWith(server, 0);
  const key = await createKey(user);
  const asked = server.upstream.requests.length;
  const { max_tokens: _maxTokens, ...prompt } = MESSAGE;
  const count = async (fields: object = {}) => {
    const response = await sendWithKey(server, key, '/v1/messages/count_tokens', { ...prompt, ...fields });
    t.equal(response.statusCode, 200, response.payload);
    const { input_tokens: tokens, ...rest } = response.json<{ input_tokens: number }>();
    t.strictSame(rest, {});
    return tokens;
  };
  const few = await count();
  t.ok(few > 5 && few < 20, `${few} tokens`);
  t.equal(await count(MESSAGE), few);
  t.equal((await count({ system: 'one two three four' })) - few, 4);
  t.ok((await count({ tools: [{ name: 'weather', input_schema: { type: 'object' } }] })) > few + 5);
  const image = { type: 'image', source: data('image/png', PNG) };
  t.equal((await count({ messages: [{ role: 'user', content: [image] }] })) > 1_398, true);
  const long = await count({ system: 'word '.repeat(400_000) });
  t.ok(long > 400_000 && long < 700_000, `${long} tokens of a long text`);
  t.equal(server.upstream.requests.length, asked);
  t.match(await readBalance(server, user), { used: 0, reserved: 0 });
  await server.verifyLedger(t);
});

t.test('tokens are counted for those who have a good key, of models on offer', async (t) => {
  const user = await userWith(server, 0);
  const key = await createKey(user);
  const send = (body: object, token = key) => sendWithKey(server, token, '/v1/messages/count_tokens', body);
  t.equal((await send(MESSAGE, 'tlk_nobody')).statusCode, 401);
  t.equal((await send({ ...MESSAGE, model: '@preset/dear' })).statusCode, 404);
  t.match((await send({ ...MESSAGE, messages: undefined })).json().error, {
    type: 'invalid_request_error',
    param: 'messages',
  });
  t.match((await send({ ...MESSAGE, brand_new: 1 })).json().error, { param: 'brand_new' });
  const list = await user.as('GET', '/api/users/me/api-keys');
  const [listed] = list.json<{ api_keys: readonly { id: string }[] }>().api_keys;
  await user.as('DELETE', `/api/users/me/api-keys/${listed?.id}`);
  t.equal((await send(MESSAGE)).statusCode, 401, 'a key that was deleted counts nothing');
  await server.verifyLedger(t);
});

t.end();
