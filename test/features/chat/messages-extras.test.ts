import { openChatServer, userWith } from '../../helpers/chat.js';
import { usualMessage } from '../../helpers/fakes/anthropic.js';
import { MESSAGE, MODEL } from '../../helpers/messages.js';
import t from '../../helpers/run/tap.js';

const server = await openChatServer(t);
const user = await userWith(server, 1_000_000_000);
server.upstream.answer(usualMessage);

const CLIENT_TOOL = { name: 'weather', input_schema: { type: 'object' } };
const addTool = (definition: unknown) => ({
  messages: [
    ...MESSAGE.messages,
    { role: 'system', content: [{ type: 'tool_addition', tool: { type: 'tool_definition', definition } }] },
  ],
});
const block = (fields: object) => ({
  messages: [{ role: 'user', content: [{ type: 'text', text: 'Hello' }, fields] }],
});
const WEB_SEARCH = { type: 'web_search_20250305', name: 'web_search' };

/** Fields that may cost more than tokens, and how the error names them. */
const REFUSED: readonly (readonly [fields: object, param: string])[] = [
  [{ tools: [WEB_SEARCH] }, 'tools[0].type'],
  [{ tools: [CLIENT_TOOL, { type: 'web_fetch_20260318', name: 'web_fetch' }] }, 'tools[1].type'],
  [{ tools: [{ type: 'code_execution_20260521', name: 'code_execution' }] }, 'tools[0].type'],
  [{ tools: [{ type: 'advisor_20260301', name: 'advisor', model: 'dear' }] }, 'tools[0].type'],
  [{ tools: [{ type: 'mcp_toolset', mcp_server_name: 'x' }] }, 'tools[0].type'],
  [{ tools: [{ type: 'openrouter:web_search' }] }, 'tools[0].type'],
  [{ tools: [{ type: 'openrouter:bash' }] }, 'tools[0].type'],
  [{ tools: [{ type: 'bash' }] }, 'tools[0].type'],
  [{ tools: [{ type: 'bash_20250124_web' }] }, 'tools[0].type'],
  [{ tools: [{ type: 'Custom' }] }, 'tools[0].type'],
  [{ tools: [{ type: ['custom'] }] }, 'tools[0].type'],
  [{ tools: [null] }, 'tools[0]'],
  [{ tools: [[CLIENT_TOOL]] }, 'tools[0]'],
  [{ tools: WEB_SEARCH }, 'tools'],
  [addTool(WEB_SEARCH), 'messages[1].content[0].tool.definition.type'],
  [
    block({
      type: 'compaction',
      tool_changes: [{ type: 'tool_addition', tool: { type: 'tool_definition', definition: WEB_SEARCH } }],
    }),
    'messages[0].content[1].tool_changes[0].tool.definition.type',
  ],
  [
    block({ type: 'tool_addition', tool: { type: 'mcp_toolset_reference', server_name: 'x' } }),
    'messages[0].content[1].tool.type',
  ],
  [block({ type: 'container_upload', file_id: 'file_1' }), 'messages[0].content[1].type'],
  [{ mcp_servers: [{ type: 'url', url: 'https://example.com', name: 'x' }] }, 'mcp_servers'],
  [{ container: 'container_1' }, 'container'],
  [{ container: { skills: [{ type: 'anthropic', skill_id: 'pptx' }] } }, 'container'],
  [{ speed: 'fast' }, 'speed'],
  [{ service_tier: 'priority' }, 'service_tier'],
  [{ inference_geo: 'us' }, 'inference_geo'],
  [{ plugins: [{ id: 'web' }] }, 'plugins'],
  [{ models: ['openai/o1-pro'] }, 'models'],
  [{ preset: 'dear' }, 'preset'],
  [{ provider: { only: ['azure'] } }, 'provider.only'],
  [{ provider: { sort: 'throughput' } }, 'provider.sort'],
  [{ stop_server_tools_when: [{ type: 'max_cost' }] }, 'stop_server_tools_when'],
];

t.test('what may cost more than tokens is refused, named, and reaches nobody', async (t) => {
  const asked = server.upstream.requests.length;
  for (const [fields, param] of REFUSED) {
    const response = await user.as('POST', '/v1/messages', { ...MESSAGE, ...fields });
    const { error } = response.json<{ error: { message: string; param: string; type: string } }>();
    t.equal(response.statusCode, 400, JSON.stringify(fields));
    t.match(error, { param, type: 'invalid_request_error' });
    t.ok(error.message.startsWith(`${param} `), error.message);
  }
  t.equal(server.upstream.requests.length, asked);
});

const TAKEN: readonly object[] = [
  { tools: [CLIENT_TOOL, { ...CLIENT_TOOL, type: 'custom' }, { ...CLIENT_TOOL, type: null }] },
  { tools: [{ type: 'computer_toolset_20260801' }, { type: 'browser_toolset_20260801' }] },
  { tools: [] },
  { mcp_servers: [] },
  { inference_geo: 'global' },
  { service_tier: 'standard_only' },
  { provider: { sort: 'price', data_collection: 'deny' } },
  addTool(CLIENT_TOOL),
  block({ type: 'tool_addition', tool: { type: 'tool_reference', name: 'weather' } }),
  {
    messages: [
      ...MESSAGE.messages,
      {
        role: 'assistant',
        content: [
          { type: 'tool_use', id: 'x', name: 'write', input: { type: 'tool_definition', definition: WEB_SEARCH } },
        ],
      },
    ],
  },
];

t.test('what costs tokens only is passed on as it came', async (t) => {
  for (const fields of TAKEN) {
    const response = await user.as('POST', '/v1/messages', { ...MESSAGE, ...fields });
    t.equal(response.statusCode, 200, `${JSON.stringify(fields)} ${response.payload}`);
    t.match(server.upstream.requests.at(-1)?.body, fields);
  }
  await server.verifyLedger(t);
});

t.test('a model is asked for alone, and conversations are not kept', async (t) => {
  for (const model of [`${MODEL}:online`, '@preset/dear']) {
    const response = await user.as('POST', '/v1/messages', { ...MESSAGE, model });
    t.match([response.statusCode, response.json().error.type], [404, 'not_found_error']);
  }
  const kept = await user.as('POST', '/v1/messages', { ...MESSAGE, thread: { type: 'create' } });
  t.match([kept.statusCode, kept.json().error], [400, { param: 'thread' }]);
  await server.verifyLedger(t);
});

t.test('with CHAT_EXTRAS all of it is taken, and models beyond CHAT_MODELS still are not', async (t) => {
  const open = await openChatServer(t, { environment: { CHAT_EXTRAS: 'on', CHAT_MODELS: MODEL } });
  const owner = await userWith(open, 1_000_000_000);
  open.upstream.answer(usualMessage);
  const extras = {
    tools: [WEB_SEARCH],
    mcp_servers: [{ type: 'url', url: 'https://example.com', name: 'x' }],
    speed: 'fast',
    fallbacks: [{ model: MODEL }],
  };
  const headers = { 'anthropic-beta': 'fast-mode-2026-02-01,mcp-client-2025-11-20,bad name' };
  const response = await owner.as('POST', '/v1/messages', { ...MESSAGE, ...extras }, headers);
  t.equal(response.statusCode, 200, response.payload);
  t.match(open.upstream.requests.at(-1)?.body, extras);
  t.match(open.upstream.requests.at(-1)?.headers, { 'anthropic-beta': 'fast-mode-2026-02-01,mcp-client-2025-11-20' });
  for (const fields of [{ models: ['openai/o1-pro'] }, { fallbacks: [{ model: 'openai/o1-pro' }] }]) {
    t.equal(
      (await owner.as('POST', '/v1/messages', { ...MESSAGE, ...fields })).statusCode,
      404,
      JSON.stringify(fields),
    );
  }
  await open.verifyLedger(t);
});

t.end();
