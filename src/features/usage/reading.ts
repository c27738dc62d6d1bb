const MAX_MODEL_LENGTH = 200;
const MAX_URL_LENGTH = 2_048;
const DECIMAL = /^[0-9]{1,16}(\.[0-9]*)?$/;

type Members = Readonly<Record<string, unknown>>;

/** Cuts a text to a number of UTF-16 units, never in the middle of a character. */
function cut(text: string, length: number): string {
  return text.length <= length ? text : text.slice(0, length).replace(/[\ud800-\udbff]$/, '');
}

/** Reads a number that old clients send with a fraction or as text, as a whole one; returns anything else as it is. */
function readNumber(value: unknown): unknown {
  const number = typeof value === 'string' && DECIMAL.test(value.trim()) ? Number(value) : value;
  return typeof number === 'number' && number >= 0 ? Math.round(number) : value;
}

/** Reads a provider's name, which some clients write as people do: `ChatGPT`. */
function readProvider(value: unknown): unknown {
  return typeof value === 'string' ? value.trim().toLowerCase() : value;
}

/** Reads a model's name, which contract 1 lets clients leave out: an empty one is none. */
function readModel(value: unknown): unknown {
  if (value === null) return undefined;
  if (typeof value !== 'string') return value;
  return value.trim() === '' ? undefined : cut(value.trim(), MAX_MODEL_LENGTH);
}

/** Reads a page's address, which is worth less than the event: one that is no text is none. */
function readUrl(value: unknown): string | undefined {
  return typeof value === 'string' ? cut(value, MAX_URL_LENGTH) : undefined;
}

/** Returns the total a client sent; none where it differs from the sum only as it was rounded, or is to be left out. */
function readTotal({ totalTokens, inputTokens, outputTokens }: Members, keepsMismatch: boolean): unknown {
  if (totalTokens === null) return undefined;
  const [total, input, output] = [totalTokens, inputTokens, outputTokens].map(readNumber);
  const isNumeric = typeof total === 'number' && typeof input === 'number' && typeof output === 'number';
  const isRounded = [totalTokens, inputTokens, outputTokens].some((value) => !Number.isInteger(Number(value)));
  return isNumeric && total !== input + output && (isRounded || !keepsMismatch) ? undefined : total;
}

const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Reads an event as clients in the field send it into the form that is recorded, so that none is lost over a detail:
 * numbers with fractions or as text, no model, no page or one with a long address, optional members that are null. What
 * it has besides is left out, and what cannot be read is left as it is, for the schema to refuse.
 * @param keepsMismatch whether a total that is not the sum is kept, to be refused; otherwise the sum counts
 */
export function readEvent(sent: unknown, { keepsMismatch }: { readonly keepsMismatch: boolean }): unknown {
  if (!isObject(sent)) return sent;
  const members = {
    provider: readProvider(sent['provider']),
    model: readModel(sent['model']),
    inputTokens: readNumber(sent['inputTokens']),
    outputTokens: readNumber(sent['outputTokens']),
    totalTokens: readTotal(sent, keepsMismatch),
    timestamp: readNumber(sent['timestamp']),
    url: readUrl(sent['url']),
    event_id: sent['event_id'] ?? undefined,
  };
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

/** Reads the body of `POST /usage`: an event, or many as `{events}`, which are read one by one when they are recorded. */
export function readBody(body: unknown): unknown {
  return isObject(body) && !('events' in body) ? readEvent(body, { keepsMismatch: true }) : body;
}
