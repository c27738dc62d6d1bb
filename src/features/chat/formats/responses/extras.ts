import { ApiError } from '../../../../platform/errors.js';
import { isFields } from '../../json-fields.js';
import { COMMON_EXTRAS, checkTools, type Extra, type ExtraChecks, isEmpty, refuseAny } from '../../request/extras.js';

/** Items a conversation consists of: messages, reasoning, and the calls of tools that the client runs. */
const ITEM_TYPES: ReadonlySet<unknown> = new Set([
  undefined,
  'apply_patch_call',
  'apply_patch_call_output',
  'compaction',
  'custom_tool_call',
  'custom_tool_call_output',
  'function_call',
  'function_call_output',
  'local_shell_call',
  'local_shell_call_output',
  'message',
  'reasoning',
  'shell_call',
  'shell_call_output',
]);

const STORED = 'is not offered here, as nothing is stored';

const refuseStored = (value: unknown, param: string): Extra | undefined =>
  isEmpty(value) ? undefined : { param, rule: `${STORED}: send the whole conversation as input` };

const refuseTrue = (value: unknown, param: string): Extra | undefined =>
  isEmpty(value) || value === false ? undefined : { param, rule: 'must be false, as nothing is stored here' };

function checkItem(item: unknown, path: string): Extra | undefined {
  const type = isFields(item) ? item['type'] : undefined;
  if (ITEM_TYPES.has(type)) return undefined;
  if (type === 'item_reference') {
    return {
      param: `${path}.type`,
      rule: 'must not be item_reference, as nothing is stored here: send the item itself',
    };
  }
  if (isFields(item) && type === 'additional_tools') return checkTools(item['tools'], `${path}.tools`);
  return { param: `${path}.type`, rule: 'is of a kind that is not offered here, as it may cost more than tokens' };
}

function checkInput(input: unknown, name: string): Extra | undefined {
  if (!Array.isArray(input)) return undefined;
  for (const [index, item] of input.entries()) {
    const extra = checkItem(item, `${name}[${index}]`);
    if (extra !== undefined) return extra;
  }
  return undefined;
}

/** What may cost more than tokens in a request, or needs what upstream has stored. */
export const RESPONSES_EXTRAS: ExtraChecks = {
  ...COMMON_EXTRAS,
  background: refuseTrue,
  context_management: refuseAny,
  conversation: refuseStored,
  input: checkInput,
  moderation: refuseAny,
  previous_response_id: refuseStored,
  prompt: refuseStored,
  stop_server_tools_when: refuseAny,
  store: refuseTrue,
};

/**
 * Refuses an input that is neither a text nor a list of items.
 * @throws {ApiError} VALIDATION_FAILED, naming the member
 */
export function requireInput(input: unknown): void {
  if (typeof input === 'string' && input !== '') return;
  const index = Array.isArray(input) ? input.findIndex((item) => !isFields(item)) : -1;
  if (Array.isArray(input) && input.length > 0 && index === -1) return;
  const param = index === -1 ? 'input' : `input[${index}]`;
  const rule = index === -1 ? 'must be a text or a list of items that is not empty' : 'must be an item';
  throw new ApiError('VALIDATION_FAILED', { sentence: `${param} ${rule}`, extras: { param } });
}
