import { type Fields, isFields, toFields } from '../../json-fields.js';
import { checkProvider, type Extra, type ExtraChecks, isEmpty, refuseAny } from '../../request/extras.js';

/** Tools that the client runs, and the search among its own tools; all others are run, and billed, upstream. */
const TOOL_TYPE =
  /^(custom|(bash|text_editor|computer|memory|computer_toolset|browser_toolset)_\d{8}|tool_search_tool_\w+)$/;
const TOOL_RULE = 'must be custom, or one of the bash, text editor, computer, browser, memory and tool search tools';
const SERVICE_TIERS: readonly unknown[] = ['auto', 'standard_only', 'default', 'standard', 'flex'];
/** Members that hold what a tool was called with, which is anything. */
const TOOL_INPUT = 'input';

function checkTool(tool: unknown, param: string): Extra | undefined {
  if (!isFields(tool)) return { param, rule: 'must be an object' };
  const type = tool['type'] ?? 'custom';
  if (typeof type === 'string' && TOOL_TYPE.test(type)) return undefined;
  return { param: `${param}.type`, rule: `${TOOL_RULE}, as others may cost more than tokens` };
}

function checkTools(tools: unknown, name: string): Extra | undefined {
  if (isEmpty(tools)) return undefined;
  if (!Array.isArray(tools)) return { param: name, rule: 'must be a list' };
  for (const [index, tool] of tools.entries()) {
    const extra = checkTool(tool, `${name}[${index}]`);
    if (extra !== undefined) return extra;
  }
  return undefined;
}

/** Looks at one block: tools may be defined in the middle of a conversation as well. */
function checkBlock({ type, definition }: Fields, param: string): Extra | undefined {
  if (type === 'tool_definition') return checkTool(definition, `${param}.definition`);
  const isRunUpstream = type === 'container_upload' || (typeof type === 'string' && /^mcp_.*_reference$/.test(type));
  return isRunUpstream
    ? { param: `${param}.type`, rule: 'is not offered here, as it may cost more than tokens' }
    : undefined;
}

/** Looks at every block, at any depth. */
function checkBlocks(value: unknown, param: string): Extra | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const own = isFields(value) ? checkBlock(value, param) : undefined;
  if (own !== undefined) return own;
  for (const [name, member] of Object.entries(value)) {
    if (name === TOOL_INPUT) continue;
    const extra = checkBlocks(member, Array.isArray(value) ? `${param}[${name}]` : `${param}.${name}`);
    if (extra !== undefined) return extra;
  }
  return undefined;
}

const allowOnly =
  (...allowed: readonly unknown[]) =>
  (value: unknown, name: string): Extra | undefined =>
    isEmpty(value) || allowed.includes(value) ? undefined : { param: name, rule: `must be ${allowed.join(' or ')}` };

/** What is looked at in a request of Anthropic's format, and in what OpenRouter adds to it. */
export const MESSAGES_EXTRAS: ExtraChecks = {
  container: refuseAny,
  inference_geo: allowOnly('global'),
  mcp_servers: refuseAny,
  messages: checkBlocks,
  models: refuseAny,
  plugins: refuseAny,
  preset: refuseAny,
  provider: checkProvider,
  service_tier: allowOnly(...SERVICE_TIERS),
  speed: allowOnly('standard'),
  stop_server_tools_when: refuseAny,
  system: checkBlocks,
  tools: checkTools,
};

/** Returns the names of the other models that a request may be answered by. */
export function findFallbacks({ fallbacks }: Fields): string[] {
  const models = (Array.isArray(fallbacks) ? fallbacks : []).map((fallback) => toFields(fallback)['model']);
  return models.filter((model) => typeof model === 'string');
}
