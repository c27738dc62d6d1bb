/** Codes of the server that clients meet, and this client's own; `message` is a sentence for people in all of them. */
export type ErrorCode = ServerErrorCode | ClientErrorCode;

/** Codes that the server answers extensions with. More may come with later versions. */
export type ServerErrorCode =
  | 'ACCOUNT_SUSPENDED'
  | 'ALREADY_ANSWERED'
  | 'CHAT_DISABLED'
  | 'DEVICE_BLOCKED'
  | 'DEVICE_LIMIT'
  | 'DEVICE_NOT_FOUND'
  | 'DEVICE_SECRET_INVALID'
  | 'EMAIL_TAKEN'
  | 'ENROLLMENT_KEY_INVALID'
  | 'IDEMPOTENCY_MISMATCH'
  | 'INSUFFICIENT_SCOPE'
  | 'INSUFFICIENT_TOKENS'
  | 'INTERNAL_ERROR'
  | 'INVALID_CHALLENGE'
  | 'INVALID_CREDENTIALS'
  | 'INVALID_GRANT'
  | 'INVALID_SECOND_FACTOR'
  | 'INVALID_TOKEN'
  | 'INVITATION_INVALID'
  | 'INVITATION_REQUIRED'
  | 'MODEL_NOT_ALLOWED'
  | 'RATE_LIMITED'
  | 'RESERVATION_NOT_FOUND'
  | 'RESERVATION_SETTLED'
  | 'SECOND_FACTOR_REQUIRED'
  | 'SERVICE_UNAVAILABLE'
  | 'SETTINGS_TOO_LARGE'
  | 'SIGNUP_CLOSED'
  | 'UPSTREAM_FAILED'
  | 'UPSTREAM_TIMEOUT'
  | 'UPSTREAM_UNAVAILABLE'
  | 'VALIDATION_FAILED';

/** Codes of what goes wrong before or without an answer. */
export const CLIENT_ERROR_CODES = [
  /** No answer came, or only a part of one. */
  'NETWORK_ERROR',
  /** Nobody is signed in, or the session is over. */
  'SIGNED_OUT',
  /** What has to be kept cannot be. */
  'STORAGE_FAILED',
  /** As many uses wait to be sent as may. */
  'QUEUE_FULL',
  /** A use may have been charged more than a day ago; sending it again could charge it twice. */
  'UNCERTAIN',
  /** The sign-in was ended by the person or the provider, or is not the one that was begun here. */
  'SIGN_IN_FAILED',
  /** An answer that is an error, but none of this server's. */
  'UNKNOWN',
] as const;
export type ClientErrorCode = (typeof CLIENT_ERROR_CODES)[number];

/** What an error tells besides its sentence. */
export interface ErrorFacts {
  readonly status?: number;
  readonly retryAfter?: number | undefined;
  readonly shouldRetry?: boolean | undefined;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** Everything that goes wrong in this client, but for aborted requests, which throw the signal's reason. */
export class TokenledgerError extends Error {
  declare readonly code: ErrorCode | (string & {});
  /** The HTTP status; 0 where there was no answer. */
  declare readonly status: number;
  /** Seconds to wait before the next attempt, where the server says so. */
  declare readonly retryAfter: number | undefined;
  /** What `x-should-retry` says about sending the same request again. */
  declare readonly shouldRetry: boolean | undefined;
  /** The body of the answer, such as `remaining` beside INSUFFICIENT_TOKENS. */
  declare readonly body: Readonly<Record<string, unknown>>;

  constructor(code: TokenledgerError['code'], message: string, facts: ErrorFacts = {}) {
    super(message, facts);
    Object.assign(this, { name: 'TokenledgerError', status: 0, body: {}, ...facts, code });
  }
}

/** Tells whether an error is one of ours with one of these codes. */
export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): error is TokenledgerError {
  return error instanceof TokenledgerError && codes.some((code) => code === error.code);
}

/** Builds the error of a body: the server's own form, or that of OpenAI's API, which has it in `error`. */
export function toError(body: Readonly<Record<string, unknown>>, facts: ErrorFacts): TokenledgerError {
  const inner: { code?: unknown; message?: unknown } = Object(typeof body['error'] === 'object' ? body['error'] : body);
  const { code, message } = inner;
  return new TokenledgerError(
    typeof code === 'string' ? code : 'UNKNOWN',
    typeof message === 'string' ? message : `The server answered with an error (${facts.status})`,
    { ...facts, body },
  );
}

/** Parses JSON; undefined where it is none. */
export function parseJson(text: string) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Parses `Retry-After`: seconds, or a date (RFC 9110, §10.2.3). */
function parseRetryAfter(header: string | null): number | undefined {
  if (header === null) return undefined;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1_000;
  return seconds >= 0 ? seconds : undefined;
}

/** Reads an answer that is an error; a proxy may have answered something else than JSON. */
export async function readError(response: Response): Promise<TokenledgerError> {
  const { status, headers } = response;
  const shouldRetry = headers.get('x-should-retry');
  return toError(Object(parseJson(await response.text().catch(() => ''))), {
    status,
    retryAfter: parseRetryAfter(headers.get('retry-after')),
    shouldRetry: shouldRetry === null ? undefined : shouldRetry === 'true',
  });
}
