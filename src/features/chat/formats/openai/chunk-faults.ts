import { type Fields, toFields, toList } from '../../json-fields.js';
import type { Chunk } from '../../metering/usage-accumulator.js';
import { PINGS } from '../../stream/sse.js';

/** Members that only errors have, whoever made their shape. */
const ERROR_MEMBERS: readonly string[] = [
  'detail',
  'details',
  'err',
  'error_code',
  'error_description',
  'error_message',
  'error_msg',
  'errors',
  'exception',
  'failure',
  'fault',
  'message',
  'msg',
  'status_code',
  'statuscode',
  'title',
  'traceback',
];

/** Returns whether a member says anything: some upstreams have one for an error in every chunk. */
export const isSet = (value: unknown) => value !== undefined && value !== null && value !== false && value !== '';

/** Returns whether a choice carries an error of its own, as OpenRouter's do when a model fails half-way. */
const isFailedChoice = (choice: unknown) => isSet(toFields(choice)['error']);

/**
 * Returns what keeps a chunk from being passed on: an error it tells, that it is no chunk at all but some other object,
 * or that it is nothing, sent to keep the connection open.
 */
export function findFault(fields: Fields, chunk: Chunk): 'error' | 'foreign' | 'ping' | undefined {
  const { choices, type, object, status, success } = fields;
  if (chunk.isError || toList(choices).some(isFailedChoice)) return 'error';
  if (isSet(choices) && !Array.isArray(choices)) return chunk.usage === undefined ? 'foreign' : 'error';
  const isMarked = [type, object, status].some((mark) => mark === 'error' || mark === 'failed') || success === false;
  if (chunk.hasContent) return isMarked ? 'error' : undefined;
  const hasErrorMember = Object.entries(fields).some(
    ([name, value]) => ERROR_MEMBERS.includes(name.toLowerCase()) && isSet(value),
  );
  if (isMarked || hasErrorMember) return chunk.usage === undefined ? 'foreign' : 'error';
  if (Array.isArray(choices) || chunk.usage !== undefined || object === 'chat.completion.chunk') return undefined;
  if (Object.keys(fields).length === 0 || PINGS.includes(String(type))) return 'ping';
  // An object whose usage or choices are null is a chunk with nothing in it, unless it has nothing of a chunk.
  return 'usage' in fields || 'choices' in fields ? undefined : 'foreign';
}
