import { BYTES_PER_TOKEN, estimateAttachment, MAX_IMAGE_TOKENS } from './attachment-tokens.js';

/** Tokens that surround every message. */
const MESSAGE_TOKENS = 8;

type Fields = Readonly<Record<string, unknown>>;

/** What the prompt of a request may come to. */
export interface PromptEstimate {
  /** All its text, also that of tools. */
  readonly texts: readonly string[];
  /** Tokens of what is in it besides text. */
  readonly attachmentTokens: number;
  /** Tokens to hold for all of it. */
  readonly tokens: number;
}

/** What a prompt is made of. */
interface Contents {
  readonly texts: string[];
  attachmentTokens: number;
}

/** Members whose strings the model reads as they are, even where they look like an address. */
const TEXT_MEMBERS: ReadonlySet<string> = new Set([
  'text',
  'content',
  'arguments',
  'input',
  'output',
  'reasoning',
  'reasoning_content',
  'refusal',
  'thinking',
]);
/** The head of a data URL (RFC 2397, §3). */
const DATA_URL = /^\s*data:([^,;]{0,200})((?:;[^,;]{0,200}){0,9}),/i;
/** The head of any other address of something that upstream fetches. */
const REMOTE_URL = /^\s*[a-z][a-z0-9+.-]{0,30}:\/\/\S/i;
/** Members that name a file which upstream has already. */
const FILE_IDS: ReadonlySet<string> = new Set(['file_id', 'file_ids', 'file_uri']);
/** Text without spaces that is longer than this is base64 (RFC 4648, §4 and 5) if it has only its characters. */
const MIN_BASE64_LENGTH = 64;
const BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/;

/** Returns what base64 stands for; where much of it is not base64 after all, the text itself. */
function decodeBase64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  return bytes.length * 3 >= text.length * 2 ? bytes : Buffer.from(text);
}

/** Returns the bytes of a data URL's data: base64, or percent-encoded text. */
function decodeData(data: string, parameters: string): Buffer {
  return /;\s*base64\s*$/i.test(parameters) ? decodeBase64(data) : Buffer.from(data.replace(/%[0-9a-f]{2}/gi, '_'));
}

const toText = (value: unknown): string => (typeof value === 'string' ? value : '');

/** Returns the media type that the members beside some data declare. */
function findMediaType({ media_type: mediaType, mime_type: mimeType, mimeType: camelCased, format }: Fields): string {
  const declared = toText(mediaType) || toText(mimeType) || toText(camelCased);
  if (declared !== '' || typeof format !== 'string') return declared;
  return format.includes('/') ? format : `audio/${format}`;
}

/**
 * Returns the tokens of a string that is an attachment; undefined for one that is text. What it is tells its form,
 * whatever the member is called.
 *
 * @param remoteTokens tokens of what upstream fetches itself
 */
function estimateAttached(name: string, value: string, siblings: Fields, remoteTokens: number): number | undefined {
  const [head, type = '', parameters = ''] = DATA_URL.exec(value) ?? [];
  if (head !== undefined) {
    const mediaType = type.trim() || 'text/plain';
    const isLowDetail = siblings['detail'] === 'low';
    return estimateAttachment(decodeData(value.slice(head.length), parameters), { mediaType, isLowDetail });
  }
  if (FILE_IDS.has(name) || REMOTE_URL.test(value)) return remoteTokens;
  const isBase64 = name === 'file_data' || name === 'data' || value.length >= MIN_BASE64_LENGTH;
  if (!isBase64 || !BASE64.test(value.replace(/\s+/g, ''))) return undefined;
  return estimateAttachment(decodeBase64(value), { mediaType: findMediaType(siblings) });
}

/** Returns the tokens of what is only named by its address: an image never costs more than one that was sent. */
const limitRemote = (name: string, remoteTokens: number): number =>
  name === 'image_url' ? Math.min(remoteTokens, MAX_IMAGE_TOKENS) : remoteTokens;

/** Where a value stands. */
interface Place {
  /** The member it is, or is in a list of; empty for none. */
  readonly name: string;
  readonly siblings: Fields;
  /** Tokens of what is there only by its address. */
  readonly remoteTokens: number;
}

/** Collects every text and every attachment in a value. Roles and types are collected too: they are few. */
function collect(value: unknown, place: Place, contents: Contents): void {
  if (typeof value === 'string') {
    const { name, siblings, remoteTokens } = place;
    const isText = name === '' || TEXT_MEMBERS.has(name);
    const tokens = isText ? undefined : estimateAttached(name, value, siblings, remoteTokens);
    if (tokens === undefined) contents.texts.push(value);
    else contents.attachmentTokens += tokens;
    return;
  }
  if (Array.isArray(value)) {
    for (const member of value) collect(member, place, contents);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  const siblings: Fields = { ...value };
  for (const [name, member] of Object.entries(siblings)) {
    collect(member, { name, siblings, remoteTokens: limitRemote(name, place.remoteTokens) }, contents);
  }
}

/** What the prompt of a request consists of, wherever its format has it. */
export interface PromptParts {
  /** What the model reads: messages, with their texts and attachments at any depth. */
  readonly contents: readonly unknown[];
  /** What the model is told as JSON, such as tools; undefined for what a request lacks. */
  readonly schemas: readonly unknown[];
  readonly messageCount: number;
}

/**
 * Estimates a prompt without counting it, which would take time while the client waits.
 * @param remoteTokens tokens of an attachment that is only named by its address
 */
export function estimatePrompt(
  { contents: parts, schemas, messageCount }: PromptParts,
  remoteTokens: number,
): PromptEstimate {
  const contents: Contents = { texts: [], attachmentTokens: 0 };
  for (const part of parts) collect(part, { name: '', siblings: {}, remoteTokens }, contents);
  const { texts, attachmentTokens } = contents;
  for (const schema of schemas) if (schema !== undefined) texts.push(JSON.stringify(schema));
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  return {
    texts,
    attachmentTokens,
    tokens: Math.ceil(bytes / BYTES_PER_TOKEN) + messageCount * MESSAGE_TOKENS + attachmentTokens,
  };
}
