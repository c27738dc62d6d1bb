/** What was asked of the server and came back as no success, or not at all. */
export class ApiFailure extends Error {
  /** One of the server's codes; `NO_ANSWER` without a connection, `SESSION_ENDED` when one has to sign in again. */
  readonly code: string;
  readonly status: number;

  /** @param sentence for the person, as the server wrote it */
  constructor(sentence: string, code: string, status = 0) {
    super(sentence);
    this.name = 'ApiFailure';
    this.code = code;
    this.status = status;
  }
}

const UNEXPECTED = 'The server answered something this page does not understand. Load the page again.';

/** A field of what may be an object. */
export function readField(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

/** @throws {ApiFailure} where the field is no text */
export function readText(value: unknown, name: string): string {
  const field = readField(value, name);
  if (typeof field === 'string') return field;
  throw new ApiFailure(UNEXPECTED, 'UNEXPECTED');
}

/** @throws {ApiFailure} where the field is no number */
export function readNumber(value: unknown, name: string): number {
  const field = readField(value, name);
  if (typeof field === 'number') return field;
  throw new ApiFailure(UNEXPECTED, 'UNEXPECTED');
}

/** @throws {ApiFailure} where the field is no list */
export function readList(value: unknown, name: string): readonly unknown[] {
  const field: unknown = readField(value, name);
  if (Array.isArray(field)) return field;
  throw new ApiFailure(UNEXPECTED, 'UNEXPECTED');
}

/** Sums over usage events: counts of them and of tokens. */
export interface Sums {
  readonly events: number;
  readonly sent: number;
  readonly received: number;
  readonly tokens: number;
  /** Tokens debited from the balance. */
  readonly debited: number;
}

/** Reads the sums of an event or of a row of a summary. */
export function parseSums(value: unknown): Sums {
  return {
    events: readNumber(value, 'events'),
    sent: readNumber(value, 'input_tokens'),
    received: readNumber(value, 'output_tokens'),
    tokens: readNumber(value, 'total_tokens'),
    debited: readNumber(value, 'cost'),
  };
}

/** One event of the list. */
export interface UsageEvent {
  readonly at: Date;
  readonly provider: string;
  readonly model: string;
  readonly source: string;
  readonly page: string;
  readonly sent: number;
  readonly received: number;
  readonly tokens: number;
}

export function parseEvent(value: unknown): UsageEvent {
  const page = readField(value, 'url');
  return {
    at: new Date(readText(value, 'occurred_at')),
    provider: readText(value, 'provider'),
    model: readText(value, 'model'),
    source: readText(value, 'source'),
    page: typeof page === 'string' ? page : '',
    sent: readNumber(value, 'input_tokens'),
    received: readNumber(value, 'output_tokens'),
    tokens: readNumber(value, 'total_tokens'),
  };
}
