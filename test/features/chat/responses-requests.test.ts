import { openChatServer, readBalance, userWith } from '../../helpers/chat.js';
import { responding } from '../../helpers/fakes/responses.js';
import t from '../../helpers/run/tap.js';

const server = await openChatServer(t);
const user = await userWith(server, 1_000_000_000);
server.upstream.answer(responding);
const PATH = '/v1/responses';
const body = (fields: object) => ({ model: 'openai/gpt-4', input: 'Hello!', max_output_tokens: 10, ...fields });

const FUNCTION = { type: 'function', name: 'weather', parameters: { type: 'object' }, strict: true };
const CUSTOM = { type: 'custom', name: 'patch' };
const QUESTION = { role: 'user', content: 'Hello!' };

/** What may cost more than tokens, needs what was stored, or makes no sense, and how the error names it. */
const REFUSED: readonly (readonly [fields: object, param: string])[] = [
  ...[
    'apply_patch',
    'code_interpreter',
    'computer_use_preview',
    'file_search',
    'image_generation',
    'local_shell',
    'mcp',
    'namespace',
    'openrouter:web_search',
    'shell',
    'web_search',
    'web_search_preview',
  ].map((type) => [{ tools: [FUNCTION, { type }] }, 'tools[1].type'] as const),
  [{ tools: {} }, 'tools'],
  [{ tool_choice: { type: 'web_search_preview' } }, 'tool_choice.type'],
  [{ tool_choice: { type: 'mcp', server_label: 'a' } }, 'tool_choice.type'],
  [{ tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'mcp' }] } }, 'tool_choice.tools[0].type'],
  [{ input: [QUESTION, { type: 'additional_tools', tools: [{ type: 'web_search' }] }] }, 'input[1].tools[0].type'],
  [{ input: [QUESTION, { type: 'item_reference', id: 'msg_1' }] }, 'input[1].type'],
  [{ input: [{ type: 'mcp_approval_response', approve: true }] }, 'input[0].type'],
  [{ input: [{ type: 'unheard_of' }] }, 'input[0].type'],
  [{ background: true }, 'background'],
  [{ store: true }, 'store'],
  [{ conversation: 'conv_1' }, 'conversation'],
  [{ conversation: { id: 'conv_1' } }, 'conversation'],
  [{ previous_response_id: 'resp_1' }, 'previous_response_id'],
  [{ prompt: { id: 'pmpt_1' } }, 'prompt'],
  [{ context_management: [{ type: 'compaction' }] }, 'context_management'],
  [{ moderation: { model: 'a' } }, 'moderation'],
  [{ stop_server_tools_when: [{ type: 'max_cost', max_cost: 9 }] }, 'stop_server_tools_when'],
  [{ service_tier: 'priority' }, 'service_tier'],
  [{ service_tier: 'fast' }, 'service_tier'],
  [{ plugins: [{ id: 'web' }] }, 'plugins'],
  [{ models: ['openai/o1-pro'] }, 'models'],
  [{ preset: 'dear' }, 'preset'],
  [{ modalities: ['image'] }, 'modalities'],
  [{ image_config: {} }, 'image_config'],
  [{ provider: { order: ['azure'] } }, 'provider.order'],
  [{ input: undefined }, 'input'],
  [{ input: null }, 'input'],
  [{ input: '' }, 'input'],
  [{ input: [] }, 'input'],
  [{ input: 12 }, 'input'],
  [{ input: {} }, 'input'],
  [{ input: [QUESTION, 'Hello!'] }, 'input[1]'],
  [{ model: undefined }, 'model'],
  [{ max_output_tokens: 0 }, 'max_output_tokens'],
  [{ instructions: {} }, 'instructions'],
  [{ max_tokens: 10 }, 'max_tokens'],
  [{ messages: [] }, 'messages'],
];

t.test('what is refused is named, and reaches nobody', async (t) => {
  const asked = server.upstream.requests.length;
  for (const [fields, param] of REFUSED) {
    const response = await user.as('POST', PATH, body(fields));
    const name = JSON.stringify(fields);
    t.equal(response.statusCode, 400, name);
    const { error } = response.json<{ error: { message: string; param: string } }>();
    t.match(error, { param, type: 'invalid_request_error', code: 'validation_failed' }, name);
    t.ok(error.message.startsWith(`${param} `), error.message);
  }
  t.match((await user.as('POST', PATH, body({ model: 'openai/gpt-4:online' }))).json(), {
    error: { code: 'model_not_found', param: 'model' },
  });
  t.equal(server.upstream.requests.length, asked);
});

const TAKEN: readonly object[] = [
  { tools: [FUNCTION, CUSTOM], tool_choice: { type: 'function', name: 'weather' }, parallel_tool_calls: false },
  { tools: [CUSTOM], tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [CUSTOM] }, max_tool_calls: 3 },
  { tools: [], tool_choice: 'none' },
  { reasoning: { effort: 'high', summary: 'auto' }, include: ['reasoning.encrypted_content'], store: false },
  { text: { format: { type: 'json_schema', name: 'a', schema: { type: 'object' } }, verbosity: 'low' } },
  { truncation: 'auto', metadata: { a: 'b' }, user: 'u', safety_identifier: 's', prompt_cache_key: 'k' },
  { temperature: 1, top_p: 0.5, top_logprobs: 3, top_k: 4, presence_penalty: 0.1, frequency_penalty: 0.1 },
  { service_tier: 'flex', background: false, modalities: ['text'], stream_options: { include_obfuscation: false } },
  { session_id: 's', trace: { trace_id: 't' }, cache_control: { type: 'ephemeral' }, provider: { zdr: true } },
  { prompt_cache_retention: '24h', prompt_cache_options: { mode: 'explicit' } },
  {
    input: [
      { role: 'developer', content: 'Be brief.' },
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hello!' }] },
      { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'aB3/'.repeat(40) },
      { type: 'function_call', call_id: 'c', name: 'weather', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c', output: 'Sun' },
      { type: 'custom_tool_call', call_id: 'd', name: 'patch', input: '*** Begin' },
      { type: 'custom_tool_call_output', call_id: 'd', output: [{ type: 'input_text', text: 'done' }] },
      { type: 'additional_tools', tools: [FUNCTION] },
    ],
  },
];

t.test('what costs tokens only is passed on as it came', async (t) => {
  for (const fields of TAKEN) {
    const response = await user.as('POST', PATH, body(fields));
    t.equal(response.statusCode, 200, `${JSON.stringify(fields)} ${response.payload}`);
    const { body: sent } = server.upstream.requests.at(-1) ?? {};
    t.strictSame(sent, { store: false, ...body(fields), stream: false });
  }
  const dropped = { usage: { include: true }, route: 'fallback', debug: { echo_upstream_body: true }, user: null };
  t.equal((await user.as('POST', PATH, body(dropped))).statusCode, 200);
  t.strictSame(server.upstream.requests.at(-1)?.body, { store: false, ...body({}), stream: false });
  await server.verifyLedger(t);
});

t.test('numbers keep every digit', async (t) => {
  const text = '{"model":"openai/gpt-4","input":"Hello!","top_k":12345678901234567890,"max_output_tokens":10}';
  await user.as('POST', PATH, text, { 'content-type': 'application/json' });
  t.match(server.upstream.requests.at(-1)?.text, /"top_k":12345678901234567890/);
});

const PNG = Buffer.concat([
  Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'),
  Buffer.from([0, 0, 3, 232, 0, 0, 3, 232]),
]).toString('base64');
const TEXT = Buffer.from('words '.repeat(10_000)).toString('base64');

/** Parts of a message, and the tokens that are held for them, besides about 30 for what surrounds them. */
const PARTS: readonly (readonly [part: object, tokens: number])[] = [
  [{ type: 'input_text', text: 'x'.repeat(3_000) }, 1_000],
  [{ type: 'input_image', image_url: `data:image/png;base64,${PNG}`, detail: 'auto' }, 1_334],
  [{ type: 'input_image', image_url: `data:image/png;base64,${PNG}`, detail: 'low' }, 258],
  [{ type: 'input_image', image_url: 'https://example.com/a.png', detail: 'auto' }, 5_000],
  [{ type: 'input_file', filename: 'a.txt', file_data: `data:text/plain;base64,${TEXT}` }, 20_000],
  [{ type: 'input_file', filename: 'a.txt', file_data: TEXT }, 20_000],
  [
    {
      type: 'input_audio',
      input_audio: { data: Buffer.alloc(20_000, 'ID3\x04\0\0').toString('base64'), format: 'mp3' },
    },
    320,
  ],
];

t.test('what is in a message is held for by what it is decoded to', async (t) => {
  for (const [part, tokens] of PARTS) {
    const payer = await userWith(server, 1_000_000);
    let reserved = 0;
    server.upstream.answer(async (response, request) => {
      ({ reserved } = await readBalance(server, payer));
      return responding(response, request);
    });
    const input = [{ type: 'message', role: 'user', content: [part] }];
    t.equal((await payer.as('POST', PATH, body({ input }))).statusCode, 200);
    const held = reserved - 10;
    t.ok(held >= tokens && held <= tokens + 40, `${JSON.stringify(part).slice(0, 60)}: ${held}, not ${tokens}`);
  }
  server.upstream.answer(responding);
  await server.verifyLedger(t);
});

t.test('the operator may open all of it', async (t) => {
  const open = await openChatServer(t, { environment: { CHAT_EXTRAS: 'on' } });
  open.upstream.answer(responding);
  const payer = await userWith(open, 100_000);
  const fields = {
    tools: [{ type: 'web_search' }],
    store: true,
    previous_response_id: 'resp_1',
    service_tier: 'priority',
  };
  t.equal((await payer.as('POST', PATH, body(fields))).statusCode, 200);
  t.match(open.upstream.requests.at(-1)?.body, fields);
  const stored = await payer.as('POST', PATH, { ...body({ prompt: { id: 'pmpt_1' } }), input: undefined });
  t.equal(stored.statusCode, 200, stored.payload);
  await open.verifyLedger(t);
});

t.test('only the models on offer are asked', async (t) => {
  const limited = await openChatServer(t, { environment: { CHAT_MODELS: 'openai/gpt-4o' } });
  const payer = await userWith(limited, 1_000);
  t.match((await payer.as('POST', PATH, body({}))).json(), { error: { code: 'model_not_found' } });
  t.equal(limited.upstream.requests.length, 0);
});

t.end();
