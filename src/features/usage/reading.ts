import { readCount } from './reading-numbers.js';
import { readTime } from './reading-times.js';

const MAX_MODEL_LENGTH = 200;
const MAX_URL_LENGTH = 2_048;

type Members = Readonly<Record<string, unknown>>;

/** Cuts a text to a number of UTF-16 units, never in the middle of a character. */
function cut(text: string, length: number): string {
  return text.length <= length ? text : text.slice(0, length).replace(/[\ud800-\udbff]$/, '');
}

/** Reads a provider's name, which some clients write as people do: `ChatGPT`. */
function readProvider(value: unknown): unknown {
  return typeof value === 'string' ? value.trim().toLowerCase() : value;
}

/** Reads a model's name, which contract 1 lets clients leave out: a number is one, what is empty or no name is none. */
function readModel(value: unknown): string | undefined {
  const name = typeof value === 'number' ? String(value) : value;
  return typeof name === 'string' && name.trim() !== '' ? cut(name.trim(), MAX_MODEL_LENGTH) : undefined;
}

/** Reads a page's address, which is worth less than the event: one that is no text is none. */
function readUrl(value: unknown): string | undefined {
  return typeof value === 'string' ? cut(value, MAX_URL_LENGTH) : undefined;
}

const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Reads an event as clients in the field send it into the form that is recorded, so that none is lost over a detail:
 * numbers with fractions or as text, times in several forms or none, no model, no page or one with a long address,
 * optional members that are null. What it has besides is left out, and so is its total: the sum counts. What cannot be
 * read is left as it is, for the schema to refuse.
 */
export function readEvent(sent: unknown): unknown {
  if (!isObject(sent)) return sent;
  const members = {
    provider: readProvider(sent['provider']),
    model: readModel(sent['model']),
    inputTokens: readCount(sent['inputTokens']),
    outputTokens: readCount(sent['outputTokens']),
    timestamp: readTime(sent['timestamp']),
    url: readUrl(sent['url']),
    event_id: sent['event_id'] ?? undefined,
  };
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

/** Reads the body of `POST /usage`: an event, or many as `{events}`, which are read one by one when they are recorded. */
export function readBody(body: unknown): unknown {
  return isObject(body) && !('events' in body) ? readEvent(body) : body;
}
