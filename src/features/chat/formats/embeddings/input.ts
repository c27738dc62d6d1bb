import { ApiError } from '../../../../platform/errors.js';
import { isFields, toList } from '../../json-fields.js';

/** Most inputs of one request, as OpenAI has it. */
const MAX_INPUTS = 2_048;

const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
const isTokenId = (value: unknown): boolean => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
const isTokenList = (value: unknown): boolean => Array.isArray(value) && value.length > 0 && value.every(isTokenId);
const isContent = (value: unknown): boolean => isFields(value) && toList(value['content']).length > 0;

/** What the members of a list may be: all of them are what the first is. */
const MEMBERS: Readonly<Record<string, { readonly isValid: (value: unknown) => boolean; readonly rule: string }>> = {
  string: { isValid: isText, rule: 'must be a text that is not empty' },
  number: { isValid: isTokenId, rule: 'must be a token id' },
  list: { isValid: isTokenList, rule: 'must be a list of token ids that is not empty' },
  object: { isValid: isContent, rule: 'must be a list of parts that is not empty' },
};

function findKind(value: unknown): string {
  if (Array.isArray(value)) return 'list';
  return value === null ? 'null' : typeof value;
}

const createError = (param: string, rule: string) =>
  new ApiError('VALIDATION_FAILED', { sentence: `${param} ${rule}`, extras: { param } });

/** Returns which member of a list is not as it should be: `input[2]`, or what is wrong within it. */
function toParam(value: unknown, index: number, kind: string): string {
  const path = `input[${index}]`;
  if (kind === 'object' && isFields(value)) return `${path}.content`;
  const inner = kind === 'list' ? toList(value).findIndex((id) => !isTokenId(id)) : -1;
  return inner === -1 ? path : `${path}[${inner}]`;
}

/**
 * Refuses an input that is no text, no list of token ids, and no list of texts, of lists of token ids, or of objects with
 * parts.
 * @throws {ApiError} VALIDATION_FAILED, naming the member
 */
export function requireInput(input: unknown): void {
  if (isText(input)) return;
  const inputs = toList(input);
  const [first] = inputs;
  const kind = findKind(first);
  if (inputs.length === 0) throw createError('input', 'must be a text or a list that is not empty');
  const member = MEMBERS[kind];
  if (member === undefined) throw createError('input[0]', 'must be a text, token ids or an object with content');
  if (kind !== 'number' && inputs.length > MAX_INPUTS) {
    throw createError('input', `must not have more than ${MAX_INPUTS.toLocaleString('en')} members`);
  }
  const index = inputs.findIndex((value) => !member.isValid(value));
  if (index !== -1) throw createError(toParam(inputs[index], index, kind), member.rule);
}

/** Returns how many inputs there are, each of which gets a vector: a list of token ids is one. */
export function countInputs(input: unknown): number {
  return Array.isArray(input) && typeof input[0] !== 'number' ? input.length : 1;
}

/** Returns how many token ids there are in an input. */
export function countTokenIds(input: unknown): number {
  return toList(input)
    .flat()
    .filter((value) => typeof value === 'number').length;
}
