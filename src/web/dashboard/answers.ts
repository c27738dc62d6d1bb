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
export function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

/** @throws {ApiFailure} where the field is no text */
export function textOf(value: unknown, name: string): string {
  const field = fieldOf(value, name);
  if (typeof field === 'string') return field;
  throw new ApiFailure(UNEXPECTED, 'UNEXPECTED');
}

/** @throws {ApiFailure} where the field is no number */
export function numberOf(value: unknown, name: string): number {
  const field = fieldOf(value, name);
  if (typeof field === 'number') return field;
  throw new ApiFailure(UNEXPECTED, 'UNEXPECTED');
}

/** @throws {ApiFailure} where the field is no list */
export function listOf(value: unknown, name: string): readonly unknown[] {
  const field: unknown = fieldOf(value, name);
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
export function sumsOf(value: unknown): Sums {
  return {
    events: numberOf(value, 'events'),
    sent: numberOf(value, 'input_tokens'),
    received: numberOf(value, 'output_tokens'),
    tokens: numberOf(value, 'total_tokens'),
    debited: numberOf(value, 'cost'),
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

export function eventOf(value: unknown): UsageEvent {
  const page = fieldOf(value, 'url');
  return {
    at: new Date(textOf(value, 'occurred_at')),
    provider: textOf(value, 'provider'),
    model: textOf(value, 'model'),
    source: textOf(value, 'source'),
    page: typeof page === 'string' ? page : '',
    sent: numberOf(value, 'input_tokens'),
    received: numberOf(value, 'output_tokens'),
    tokens: numberOf(value, 'total_tokens'),
  };
}
