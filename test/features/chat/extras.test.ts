import { openChatServer, QUESTION, userWith } from '../../helpers/chat.js';
import { completion, whole } from '../../helpers/fakes/openrouter.js';
import t from '../../helpers/run/tap.js';

const server = await openChatServer(t);
const user = await userWith(server, 1_000_000_000);
const MODEL = 'openai/gpt-4';
const body = (fields: object) => ({ model: MODEL, ...QUESTION, max_tokens: 10, ...fields });
server.upstream.answer(whole(completion()));

const FUNCTION = { type: 'function', function: { name: 'weather', parameters: { type: 'object' } } };
const CUSTOM = { type: 'custom', custom: { name: 'patch' } };

/** Fields that may cost more than tokens, and how the error names them. */
const REFUSED: readonly (readonly [fields: object, param: string])[] = [
  [{ tools: [{ type: 'openrouter:web_search' }] }, 'tools[0].type'],
  [{ tools: [FUNCTION, { type: 'web_search' }] }, 'tools[1].type'],
  [{ tools: [{ type: 'web_search_preview_2025_03_11' }] }, 'tools[0].type'],
  [{ tools: [{ type: 'Function' }] }, 'tools[0].type'],
  [{ tools: [{ name: 'no type' }] }, 'tools[0].type'],
  [{ tools: [null] }, 'tools[0].type'],
  [{ tools: [[FUNCTION]] }, 'tools[0].type'],
  [{ tools: { type: 'web_search' } }, 'tools'],
  [{ tool_choice: { type: 'web_search_preview' } }, 'tool_choice.type'],
  [{ tool_choice: 'openrouter:web_search' }, 'tool_choice'],
  [
    { tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [{ type: 'mcp' }] } } },
    'tool_choice.allowed_tools.tools[0].type',
  ],
  [{ plugins: [{ id: 'web' }] }, 'plugins'],
  [{ plugins: { id: 'web' } }, 'plugins'],
  [{ web_search_options: {} }, 'web_search_options'],
  [{ models: ['openai/o1-pro'] }, 'models'],
  [{ preset: 'dear' }, 'preset'],
  [{ service_tier: 'priority' }, 'service_tier'],
  [{ service_tier: 'scale' }, 'service_tier'],
  [{ service_tier: ['priority'] }, 'service_tier'],
  [{ modalities: ['image', 'text'] }, 'modalities'],
  [{ modalities: ['text', 'audio'] }, 'modalities'],
  [{ modalities: 'image' }, 'modalities'],
  [{ audio: { voice: 'alloy', format: 'wav' } }, 'audio'],
  [{ image_config: { image_size: '4K' } }, 'image_config'],
  [{ provider: { only: ['azure'] } }, 'provider.only'],
  [{ provider: { order: ['azure'] } }, 'provider.order'],
  [{ provider: { ignore: ['cheap'] } }, 'provider.ignore'],
  [{ provider: { sort: 'throughput' } }, 'provider.sort'],
  [{ provider: { sort: { by: 'latency' } } }, 'provider.sort'],
  [{ provider: 'azure' }, 'provider'],
];

t.test('what may cost more than tokens is refused, named, and reaches nobody', async (t) => {
  const asked = server.upstream.requests.length;
  for (const [fields, param] of REFUSED) {
    const response = await user.as('POST', '/v1/chat/completions', body(fields));
    const { error } = response.json<{ error: { message: string; param: string; type: string; code: string } }>();
    t.equal(response.statusCode, 400, JSON.stringify(fields));
    t.match(error, { param, type: 'invalid_request_error', code: 'validation_failed' });
    t.ok(error.message.startsWith(`${param} `), error.message);
  }
  t.equal(server.upstream.requests.length, asked);
});

const TAKEN: readonly object[] = [
  { tools: [FUNCTION, CUSTOM] },
  { tools: [] },
  { tools: null },
  { tool_choice: 'auto' },
  { tools: [FUNCTION], tool_choice: { type: 'function', function: { name: 'weather' } } },
  { tools: [CUSTOM], tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [CUSTOM] } } },
  { plugins: [] },
  { models: null },
  { service_tier: 'auto' },
  { service_tier: 'default' },
  { service_tier: 'flex' },
  { service_tier: null },
  { modalities: ['text'] },
  { audio: null },
  { provider: { data_collection: 'deny', zdr: true, allow_fallbacks: false, require_parameters: true } },
  { provider: { sort: 'price', max_price: { prompt: 1 }, order: null, only: [] } },
];

t.test('what costs tokens only is passed on as it came', async (t) => {
  for (const fields of TAKEN) {
    const response = await user.as('POST', '/v1/chat/completions', body(fields));
    t.equal(response.statusCode, 200, `${JSON.stringify(fields)} ${response.payload}`);
    const passed = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
    t.match(server.upstream.requests.at(-1)?.body, passed);
  }
  await server.verifyLedger(t);
});

const DEAR_MODELS = [
  'openai/gpt-4:online',
  'openai/gpt-4:ONLINE',
  'openai/gpt-4:free:online',
  'openai/gpt-4:online:free',
  'openai/gpt-4:batch',
  'openai/gpt-4:',
  '@preset/dear',
  'openai/gpt-4@preset/dear',
  'openai/gpt-4%3Aonline',
  'openai/gpt-4?plugins=web',
];
const PLAIN_MODELS = [
  'gpt-4',
  'openai/gpt-4',
  'openai/gpt-4:free',
  'openai/gpt-4:nitro',
  'openai/gpt-4:floor',
  'openai/gpt-4:exacto',
  'anthropic/claude-3.7-sonnet:thinking',
  'google/gemma-3n-e4b-it:free:floor',
  '~anthropic/claude-sonnet-latest',
  'accounts/x/models/llama-v3p1-405b',
];

t.test('a model is asked for alone: no web search, no presets, on both routes', async (t) => {
  const asked = server.upstream.requests.length;
  for (const model of DEAR_MODELS) {
    const openai = await user.as('POST', '/v1/chat/completions', body({ model }));
    t.match([openai.statusCode, openai.json().error], [400, { code: 'model_not_found', param: 'model' }], model);
    const stream = await user.as('POST', '/api/chat/stream', { ...QUESTION, model, stream: false });
    t.match([stream.statusCode, stream.json().code], [400, 'MODEL_NOT_ALLOWED'], model);
  }
  t.equal(server.upstream.requests.length, asked);
  for (const model of PLAIN_MODELS) {
    for (const path of ['/v1/chat/completions', '/api/chat/stream']) {
      const response = await user.as('POST', path, { ...QUESTION, model, max_tokens: 10, stream: false });
      t.equal(response.statusCode, 200, `${model} ${response.payload}`);
      t.equal(server.upstream.requests.at(-1)?.body['model'], model);
    }
  }
  await server.verifyLedger(t);
});

t.test('what the operator names in CHAT_MODELS or as the standard model is as it should be', async (t) => {
  const environment = { CHAT_MODELS: 'openai/gpt-4:online,llama3:8b', OPENROUTER_MODEL: 'llama3:8b' };
  const open = await openChatServer(t, { environment });
  const owner = await userWith(open, 1_000_000);
  const ask = async (model?: string) =>
    (await owner.as('POST', '/api/chat/stream', { ...QUESTION, stream: false, ...(model && { model }) })).statusCode;
  t.equal(await ask('openai/gpt-4:online'), 200);
  t.equal(await ask('llama3:8b'), 200);
  t.equal(await ask(), 200);
  t.equal(await ask('openai/gpt-4'), 400);
  await open.verifyLedger(t);
});

t.test('with CHAT_EXTRAS all of it is taken, and models beyond CHAT_MODELS still are not', async (t) => {
  const open = await openChatServer(t, { environment: { CHAT_EXTRAS: 'on' } });
  const owner = await userWith(open, 1_000_000_000);
  for (const [fields] of REFUSED.filter(([fields]) => Array.isArray(Object.values(fields)[0]))) {
    const response = await owner.as('POST', '/v1/chat/completions', body(fields));
    t.equal(response.statusCode, 200, JSON.stringify(fields));
    t.match(open.upstream.requests.at(-1)?.body, fields);
  }
  t.equal((await owner.as('POST', '/v1/chat/completions', body({ model: 'openai/gpt-4:online' }))).statusCode, 200);

  const some = await openChatServer(t, { environment: { CHAT_EXTRAS: 'on', CHAT_MODELS: MODEL } });
  const guest = await userWith(some, 1_000_000);
  for (const fields of [{ models: ['openai/o1-pro'] }, { model: 'openai/gpt-4:online' }]) {
    t.equal((await guest.as('POST', '/v1/chat/completions', body(fields))).statusCode, 400, JSON.stringify(fields));
  }
  t.equal((await guest.as('POST', '/v1/chat/completions', body({ models: [MODEL] }))).statusCode, 200);
  await open.verifyLedger(t);
});

t.end();
