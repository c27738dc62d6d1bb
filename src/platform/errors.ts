import type { DatabaseError } from './database/client/database-error.js';

/** Lists every error code the server answers with, its HTTP status and its sentence; no other error leaves the server. */
const ERRORS = {
  COST_LIMIT_EXCEEDED: [400, 'The request may cost more than one request is allowed to; ask for fewer tokens'],
  EMAIL_REQUIRED: [400, 'Email is required'],
  MODEL_NOT_ALLOWED: [400, 'This model is not offered here'],
  MODEL_PRICE_UNKNOWN: [400, 'The price of this model is not known, so that what it costs cannot be limited'],
  UPSTREAM_REFUSED: [400, 'The model provider does not accept this request'],
  INVALID_GRANT: [400, 'The code is not valid, was used already or has expired'],
  INVALID_SIGNATURE: [400, 'The signature is not valid, or too old or too new'],
  INVALID_RESET_TOKEN: [400, 'The link is not valid, was used already or has expired'],
  INVALID_VERIFICATION_TOKEN: [400, 'The link is not valid, was used already or has expired'],
  LIVEMODE_MISMATCH: [400, 'A test event for a live key, or a live event for a test key'],
  NO_SESSION: [400, 'An API key is no session; delete the key instead'],
  PASSWORD_BREACHED: [400, 'This password is known from a leak, choose another'],
  PASSWORD_PERSONAL: [400, 'A password must not be your own address or name'],
  PASSWORD_TOO_COMMON: [400, 'This password is too common, choose another'],
  REDIRECT_NOT_ALLOWED: [400, 'redirect_uri is not on the list of allowed addresses'],
  RANGE_NOT_VALID: [400, 'from and to must be days, or times on whole quarter hours, at most 1,100 days apart'],
  TIMESTAMP_OUT_OF_RANGE: [400, 'timestamp is in the future or older than what is kept'],
  WEBHOOK_URL_NOT_ALLOWED: [400, 'Webhooks go to https addresses on the public internet, without a user or password'],
  VALIDATION_FAILED: [400, 'The request is not valid'],
  ALLOCATION_TOO_LARGE: [400, 'A balance cannot hold that many tokens'],
  COUNTER_FULL: [400, 'A counter cannot go that high'],
  SELF_TRANSFER: [400, 'Source and target must differ'],
  INVALID_JSON: [400, 'The body is not valid JSON'],
  MISSING_TOKEN: [401, 'Missing token'],
  INVALID_ACCESS_TOKEN: [401, 'Invalid access token'],
  INVALID_CREDENTIALS: [401, 'Wrong name, e-mail address or password'],
  INVALID_SECOND_FACTOR: [401, 'The code of the second factor is wrong, or was used before'],
  SECOND_FACTOR_REQUIRED: [401, 'This account has a second factor: its code, or a recovery code, is needed too (totp)'],
  INVALID_CHALLENGE: [401, 'This sign-in is over, was finished or had too many wrong codes; begin it again'],
  INVALID_TOKEN: [401, 'Invalid or expired token'],
  PAYMENT_FAILED: [402, 'The payment did not succeed, so nothing was changed; look at the means of payment'],
  PAYMENT_CONFIRMATION_REQUIRED: [402, 'The bank wants this payment to be confirmed; open confirm_url in a browser'],
  PAYMENT_METHOD_MISSING: [402, 'There is no means of payment; add one with POST /subscriptions/portal'],
  BUDGET_EXCEEDED: [403, 'The budget does not have that many tokens left'],
  DEVICE_BLOCKED: [403, 'Device is blocked'],
  DEVICE_LIMIT: [403, 'No more devices can be linked to this account; unlink one or choose a higher tier'],
  DEVICE_SECRET_INVALID: [403, 'This is not the secret the device was registered with'],
  ENROLLMENT_KEY_INVALID: [403, 'A valid enrollment key is required'],
  FORBIDDEN: [403, 'Not allowed'],
  ACCOUNT_SUSPENDED: [403, 'This account is suspended'],
  INSUFFICIENT_ROLE: [403, 'Your role does not allow this'],
  SECOND_FACTOR_MISSING: [403, 'Set up a second factor first'],
  INSUFFICIENT_SCOPE: [403, 'This API key may not do that'],
  TRACKER_DISABLED: [403, 'This account takes no counts by e-mail address alone'],
  INVITATION_INVALID: [403, 'The invitation is not valid, was used already, has expired or is for another address'],
  INVITATION_REQUIRED: [
    403,
    'New accounts need an invitation here; register with its code, or with the address it was sent to',
  ],
  INSUFFICIENT_TOKENS: [403, 'Insufficient tokens'],
  PROOF_REQUIRED: [
    403,
    'Prove that it is you: log in again, or use POST /auth/reauthenticate; it counts for 5 minutes',
  ],
  SIGNUP_CLOSED: [403, 'No new accounts are opened here'],
  TRACKER_TOKEN_INVALID: [403, 'Token invalid or expired'],
  ADMIN_NOT_FOUND: [404, 'Admin not found'],
  SECOND_FACTOR_NOT_FOUND: [404, 'There is no second factor, or none that waits for its first code'],
  API_KEY_NOT_FOUND: [404, 'API key not found'],
  BULK_CHANGE_NOT_FOUND: [404, 'There is no such bulk change, or it is older than 30 days'],
  CHECKOUT_NOT_FOUND: [404, 'There is no such payment page of ours'],
  DEVICE_NOT_FOUND: [404, 'Device not found'],
  ENTRY_NOT_FOUND: [404, 'Ledger entry not found'],
  INVOICE_NOT_FOUND: [404, 'There is no such invoice, or none to look at'],
  INVITATION_NOT_FOUND: [404, 'Invitation not found'],
  MONTH_NOT_SEALED: [404, 'This month is not sealed: it is not over since a day, or did not add up'],
  MODEL_NOT_FOUND: [404, 'There is no such model here'],
  NOT_FOUND: [404, 'Not found'],
  RESERVATION_NOT_FOUND: [404, 'Reservation not found'],
  SESSION_NOT_FOUND: [404, 'Session not found'],
  SETTINGS_VERSION_NOT_FOUND: [404, 'This version of the settings is not kept'],
  SUBSCRIPTION_NOT_FOUND: [404, 'There is no subscription'],
  USAGE_NOT_FOUND: [404, 'Usage event not found'],
  USER_NOT_FOUND: [404, 'User not found'],
  WEBHOOK_NOT_FOUND: [404, 'Webhook not found'],
  WEBHOOK_DELIVERY_NOT_FOUND: [404, 'This webhook has no such delivery'],
  METHOD_NOT_ALLOWED: [405, 'This path does not take that method'],
  REQUEST_TIMEOUT: [408, 'The request did not arrive in time'],
  ADMIN_EXISTS: [409, 'There is an admin of this name already'],
  LAST_OWNER: [409, 'The last owner cannot be removed or given another role'],
  OWN_CREDENTIALS: [409, 'Your own password and second factor are changed at /admin/password and /admin/second-factor'],
  SECOND_FACTOR_EXISTS: [409, 'There is a second factor already; remove it first'],
  ALREADY_ANSWERED: [409, 'A request with this idempotency key was made already; its answer is not kept'],
  API_KEY_LIMIT: [409, 'Too many API keys; delete one first'],
  ALREADY_UNDONE: [409, 'This was undone already'],
  BULK_REFUSED: [409, 'Some of them would be refused, so nothing was changed; the preview says which'],
  NOT_UNDOABLE: [409, 'Only grants, claw backs and transfers of the running period can be undone'],
  ALREADY_RESET: [409, 'This month has been reset already; send force to do it again'],
  ALREADY_SUBSCRIBED: [409, 'There is a subscription already; change it instead'],
  BILLING_CURRENCY_MISMATCH: [409, 'Earlier payments were made in another currency; ask the operator of this server'],
  BILLING_EMAIL_REFUSED: [409, 'The payment service does not accept the address of this account; change it first'],
  SUBSCRIPTION_SCHEDULED: [409, 'A change of this subscription is planned already; ask the operator of this server'],
  SUBSCRIPTION_RUNNING: [409, 'A subscription was begun meanwhile; try again'],
  EMAIL_TAKEN: [409, 'Email already exists'],
  WEBHOOK_LIMIT: [409, 'There are 20 webhooks already; delete one first'],
  RESERVATION_SETTLED: [409, 'The reservation has been settled already'],
  STALE_VERSION: [412, 'The settings have changed since that version'],
  PAYLOAD_TOO_LARGE: [413, 'The body is too large'],
  SETTINGS_TOO_LARGE: [413, 'The settings would be longer than 256 KiB'],
  UNSUPPORTED_MEDIA_TYPE: [415, 'The body must be JSON, sent with the header content-type: application/json'],
  IDEMPOTENCY_MISMATCH: [422, 'This idempotency key was used with a different request'],
  RATE_LIMITED: [429, 'Too many requests, try again later'],
  TRACKER_DAY_LIMIT: [429, 'As much was counted for this account as may be in one day'],
  UPSTREAM_RATE_LIMITED: [429, 'The model provider is busy, try again later'],
  TOO_MANY_STREAMS: [429, 'Too many open streams; close one first'],
  HEADERS_TOO_LARGE: [431, 'The headers are too large'],
  INTERNAL_ERROR: [500, 'Internal server error'],
  PAYMENTS_MISCONFIGURED: [500, 'Payments are not set up properly on this server; its log has the reason'],
  SIGN_IN_MISCONFIGURED: [500, 'This way of signing in is not set up properly on this server; its log has the reason'],
  UPSTREAM_FAILED: [502, 'The model provider failed'],
  CHAT_DISABLED: [503, 'Chat is not set up on this server'],
  GITHUB_DISABLED: [503, 'Signing in with GitHub is not set up on this server'],
  GOOGLE_DISABLED: [503, 'Signing in with Google is not set up on this server'],
  MAIL_DISABLED: [503, 'Sending mail is not set up on this server'],
  PAYMENTS_DISABLED: [503, 'Subscriptions are not set up on this server'],
  USER_DATA_DISABLED: [503, "Reading a user's own data is not set up on this server"],
  SERVER_STOPPING: [503, 'The server is stopping, try again'],
  UPSTREAM_UNAVAILABLE: [503, 'The model provider cannot be reached, try again later'],
  SERVICE_UNAVAILABLE: [503, 'Temporarily unavailable, try again later'],
  UPSTREAM_TIMEOUT: [504, 'The model provider did not answer, and may have billed the request'],
} as const satisfies Record<string, readonly [status: number, sentence: string]>;

export type ErrorCode = keyof typeof ERRORS;

/** Every code, in alphabetical order. */
export const ERROR_CODES: readonly string[] = Object.keys(ERRORS).sort();

/** Errors after which the same request would be refused again, or paid for again. */
const FINAL_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['ALREADY_ANSWERED', 'UPSTREAM_TIMEOUT']);

/** Fields the error body carries besides the sentence and the code, as the contracts show them. */
export type ErrorExtras = Readonly<Record<string, unknown>>;

/** Tells whether a code is on the list. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

/** An answer that is an error: a code of the closed list, and what the contract adds to it. */
export class ApiError extends Error {
  readonly code: ErrorCode;
  readonly statusCode: number;
  readonly extras: ErrorExtras;
  /** Whether clients are told not to send the same request again by themselves. */
  readonly isFinal: boolean;
  /** Whether the operator is told the cause, though the request is at fault. */
  readonly isReported: boolean;

  /**
   * @param options.sentence replaces the code's own sentence; it must not hold anything internal
   * @param options.extras further fields of the body
   * @param options.isFinal whether sending the same request again would cost again; otherwise the code decides
   * @param options.isReported whether the log gets the cause of an error below 500 too
   */
  constructor(
    code: ErrorCode,
    options: { sentence?: string; extras?: ErrorExtras; cause?: unknown; isFinal?: boolean; isReported?: boolean } = {},
  ) {
    const [status, sentence] = ERRORS[code];
    super(options.sentence ?? sentence, { cause: options.cause });
    this.name = 'ApiError';
    this.code = code;
    this.statusCode = status;
    this.extras = options.extras ?? {};
    this.isReported = options.isReported ?? false;
    this.isFinal = options.isFinal ?? FINAL_CODES.has(code);
  }

  /** Returns the one error body of all contracts. */
  toBody(): Record<string, unknown> {
    return { ...this.extras, error: this.message, code: this.code, message: this.message, detail: this.message };
  }
}

/** Parses the `detail` our own SQL functions raise; anything but a JSON object is no extras. */
function parseExtras(details: string | null): ErrorExtras {
  try {
    const parsed: unknown = JSON.parse(details ?? '{}');
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {};
  } catch {
    return {};
  }
}

/**
 * Translates a database error: into the code our functions raised as `PTxyz`, 503 where the database cannot be reached
 * or gave no answer, and 500 for everything else, as our schemas should not have let it through.
 */
export function toApiError(error: DatabaseError): ApiError {
  if (error.code.startsWith('PT') && isErrorCode(error.message)) {
    return new ApiError(error.message, { extras: parseExtras(error.details), cause: error });
  }
  return new ApiError(error.isUnavailable ? 'SERVICE_UNAVAILABLE' : 'INTERNAL_ERROR', { cause: error });
}
