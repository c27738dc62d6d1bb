/** What an image or a file is estimated at, in tokens: a large image in most models. */
const ATTACHMENT_TOKENS = 1_500;
/** Bytes of text that hardly ever are more than one token, so that a hold is rather too large than too small. */
const BYTES_A_TOKEN = 3;
/** What surrounds every message. */
const MESSAGE_TOKENS = 8;

type Fields = Readonly<Record<string, unknown>>;

/** The prompt of a request, for estimates. */
export interface Prompt {
  /** All its text, also that of tools. */
  readonly texts: readonly string[];
  /** What is in it besides text, in tokens. */
  readonly attachmentTokens: number;
  /** Tokens to hold for all of it. */
  readonly estimate: number;
}

const isAttachment = (key: string) => key === 'image_url' || key === 'input_audio' || key === 'file' || key === 'data';

/** Every text in a value, and how many attachments. Roles and types are texts as well: they are few. */
function collect(value: unknown, texts: string[]): number {
  if (typeof value === 'string') texts.push(value);
  if (typeof value !== 'object' || value === null) return 0;
  let attachments = 0;
  for (const [key, member] of Object.entries(value)) {
    attachments += isAttachment(key) && !Array.isArray(value) ? 1 : collect(member, texts);
  }
  return attachments;
}

/** Estimates a prompt without counting it, which would take time while somebody waits. */
export function promptOf({ messages, tools, functions, response_format: format }: Fields): Prompt {
  const texts: string[] = [];
  const attachments = collect(messages, texts);
  for (const extra of [tools, functions, format]) if (extra !== undefined) texts.push(JSON.stringify(extra));
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  const count = Array.isArray(messages) ? messages.length : 1;
  const attachmentTokens = attachments * ATTACHMENT_TOKENS;
  return {
    texts,
    attachmentTokens,
    estimate: Math.ceil(bytes / BYTES_A_TOKEN) + count * MESSAGE_TOKENS + attachmentTokens,
  };
}
