import type { Chunk } from '../metering/usage-accumulator.js';
import { toFields } from './fields.js';

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

const isSet = (value: unknown) => value !== undefined && value !== null && value !== false && value !== '';

/** Returns whether a choice carries an error of its own, as OpenRouter's do when a model fails half-way. */
const isFailedChoice = (choice: unknown) => isSet(toFields(choice)['error']);

/**
 * Returns what keeps a chunk from being passed on: an error it tells, that it is no chunk at all but some other object,
 * or that it is nothing, sent to keep the connection open.
 *
 * @param data the chunk's JSON
 * @param pings types of chunks that only keep a connection open
 */
export function findFault(
  data: string,
  chunk: Chunk,
  pings: readonly string[] = [],
): 'error' | 'foreign' | 'ping' | undefined {
  if (chunk.isError) return 'error';
  // Most chunks need no second look: a name in quotes is a member of theirs, not what the model wrote.
  if (chunk.hasChoices && !data.includes('"error"')) return undefined;
  const fields = toFields(JSON.parse(data));
  const { choices, type, object, status, success } = fields;
  if (Array.isArray(choices) && choices.some(isFailedChoice)) return 'error';
  const isMarked = [type, object, status].some((mark) => mark === 'error' || mark === 'failed') || success === false;
  if (chunk.hasChoices) return isMarked ? 'error' : undefined;
  const hasErrorMember = Object.entries(fields).some(
    ([name, value]) => ERROR_MEMBERS.includes(name.toLowerCase()) && isSet(value),
  );
  if (isMarked || hasErrorMember) return chunk.usage === undefined ? 'foreign' : 'error';
  if (Array.isArray(choices) || chunk.usage !== undefined || object === 'chat.completion.chunk') return undefined;
  if (Object.keys(fields).length === 0 || pings.includes(String(type))) return 'ping';
  // An object whose usage or choices are null is a chunk with nothing in it, unless it has nothing of a chunk.
  return 'usage' in fields || 'choices' in fields ? undefined : 'foreign';
}
