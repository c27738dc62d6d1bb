import type { ChatServices } from '../../completion.js';
import { AVERAGE_TOKEN_BYTES } from '../../metering/token-counter.js';
import { estimateMessages } from './prompt.js';
import type { CountRequest } from './schemas.js';

/** Characters that are counted; counting more would keep the counter from those who wait for an answer. */
const MAX_COUNTED_CHARACTERS = 500_000;

/** Splits texts into those that are counted, and the bytes of what is beyond. */
function split(texts: readonly string[]): { counted: string[]; restBytes: number } {
  const counted: string[] = [];
  let left = MAX_COUNTED_CHARACTERS;
  let restBytes = 0;
  for (const text of texts) {
    counted.push(text.slice(0, left));
    restBytes += Buffer.byteLength(text.slice(left));
    left = Math.max(left - text.length, 0);
  }
  return { counted, restBytes };
}

/** Estimates the input tokens of a request by our own tokenizer: OpenRouter counts only what it also answers. */
export async function countTokens(chat: ChatServices, body: CountRequest): Promise<number> {
  const prompt = estimateMessages(body, chat.settings.remoteTokens);
  const { counted, restBytes } = split(prompt.texts);
  const tokens = await chat.counter.count(counted).catch(() => prompt.tokens - prompt.attachmentTokens);
  return tokens + Math.ceil(restBytes / AVERAGE_TOKEN_BYTES) + prompt.attachmentTokens;
}
