/** Members that describe what is beside them: their values are labels, unless there are spaces in them. */
const LABEL_NAME = /^(role|format|(\w+_)?(id|type)|\w+Id|\w+Type)$/;
const SPACE = /\s/;
/** Members that hold data, not words, where they look like base64 or base64url (RFC 4648). */
const DATA_NAME = /^(data|b64_json|bytes|blob|signature|encrypted\w*|\w+_(data|signature|b64|base64))$/;
const NOT_BASE64 = /[^A-Za-z0-9+/_=-]/;
const DATA_URL = /^data:[^,]{0,200};base64,[A-Za-z0-9+/_=%-]*$/i;
/** Members that are words whatever they look like: a model may well write base64. */
const WORDS_NAME =
  /^(content|text|arguments|reasoning|reasoning_content|refusal|transcript|thinking|input|partial_json)$/;
/** Characters from which on base64 is recognised under any other name: some of each kind are in it then. */
const MIN_DATA_CHARACTERS = 256;
const BASE64_KINDS: readonly RegExp[] = [/[a-z]/, /[A-Z]/, /[0-9]/];
/** Members upstream adds to what the model wrote: counts, and every token once more. */
const FOREIGN_NAMES: readonly string[] = ['usage', 'logprobs'];
/** Members where it adds quotations from the web, and parsed files; under these names the model may write as well. */
const QUOTING_NAMES: readonly string[] = ['annotations', 'citation', 'citations'];
const QUOTATION_TYPE = /(_citation|_location|^file(_path)?)$/;
const WEB_ADDRESS = /^https?:\/\/\S+$/i;

function isWritten(name: string, value: string): boolean {
  if (WORDS_NAME.test(name)) return true;
  if (QUOTING_NAMES.includes(name) && WEB_ADDRESS.test(value)) return false;
  if (DATA_URL.test(value) || (LABEL_NAME.test(name) && !SPACE.test(value))) return false;
  if (NOT_BASE64.test(value)) return true;
  if (DATA_NAME.test(name)) return false;
  return value.length < MIN_DATA_CHARACTERS || !BASE64_KINDS.every((kind) => kind.test(value));
}

const isQuotation = (value: object): boolean =>
  ('type' in value && QUOTATION_TYPE.test(String(value.type))) || ('url' in value && typeof value.url === 'string');

const isForeign = (name: string, value: object): boolean =>
  FOREIGN_NAMES.includes(name) || (QUOTING_NAMES.includes(name) && isQuotation(value));

/** Returns the text below a member, in its order. */
function memberToText(name: string, value: unknown): string {
  const texts: string[] = [];
  // Without recursion: upstream may nest as deeply as it likes.
  const waiting: [name: string, value: unknown][] = [[name, value]];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [key, member] = next;
    if (typeof member === 'string' && isWritten(key, member)) texts.push(member);
    if (typeof member !== 'object' || member === null || isForeign(key, member)) continue;
    const parts: [string, unknown][] = Array.isArray(member)
      ? member.map((part: unknown) => [key, part])
      : Object.entries(member);
    for (const part of parts.reverse()) waiting.push(part);
  }
  return texts.join('');
}

const toMembers = (message: unknown): [name: string, value: unknown][] =>
  typeof message === 'object' && message !== null && !Array.isArray(message)
    ? Object.entries(message)
    : [['content', message]];

/**
 * Returns all text that a model wrote in a `delta` or a `message`, under whatever names: every string in it except ids,
 * roles, types and base64 data. A text that several members repeat, such as `reasoning` and `reasoning_details`, is
 * returned once.
 */
export function toWrittenText(messages: readonly unknown[]): string {
  const texts = messages.flatMap(toMembers).map(([name, value]) => memberToText(name, value));
  return [...new Set(texts)].join('');
}
