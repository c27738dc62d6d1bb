/** What was asked of the server and came back as no success, or not at all. */
export class ApiFailure extends Error {
  /** One of the server's codes; `NO_ANSWER` without a connection, `SESSION_ENDED` when one has to sign in again. */
  readonly code: string;
  /** HTTP status, 0 where there was no answer. */
  readonly status: number;
  /** Seconds after which trying again may help, where the server said so. */
  readonly retryAfter: number | undefined;
  /** The whole answer. */
  readonly body: unknown;

  /** @param sentence for the person, as the server wrote it */
  constructor(
    sentence: string,
    code: string,
    more: { readonly status?: number; readonly retryAfter?: number | undefined; readonly body?: unknown } = {},
  ) {
    super(sentence);
    this.name = 'ApiFailure';
    this.code = code;
    this.status = more.status ?? 0;
    this.retryAfter = more.retryAfter;
    this.body = more.body;
  }
}

/** Returns a field of what may be an object. */
export function readField(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

/** Turns what a request threw into a failure; anything else is a defect of the page and goes on. */
export function toFailure(error: unknown): ApiFailure {
  if (error instanceof ApiFailure) return error;
  throw error;
}
