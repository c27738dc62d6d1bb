import { ApiError, type ErrorCode } from '../../../platform/errors.js';
import { type Fields, toFields } from './fields.js';
import { findReason, isRefusalReason, type LoggedReason, REASONS } from './refusal-reason.js';
import { parseRetryAfter, type RetryHints } from './retry-after.js';

/** What upstream's error answer, or the error in its stream, says. */
export interface UpstreamFailure {
  /** The HTTP status it came with, or names. */
  readonly status: number | undefined;
  /** Its JSON; undefined where it has none. */
  readonly body: unknown;
  readonly hints: RetryHints;
}

/** Statuses that tell something about the request. A bad key of ours (401, 402) is no fault of the client's. */
const REFUSALS: readonly number[] = [400, 403, 404, 405, 413, 415, 422];
const DEFAULT_RETRY_SECONDS = 1;
/** Names under which errors say when to ask again, besides the header fields. */
const RETRY_MEMBERS = { 'retry-after': ['retry_after', 'retry_after_seconds'], 'retry-after-ms': ['retry_after_ms'] };

const toHint = (value: unknown) => (typeof value === 'number' || typeof value === 'string' ? String(value) : undefined);

function toStatus(value: unknown): number | undefined {
  const status = typeof value === 'string' || typeof value === 'number' ? Number(value) : Number.NaN;
  return Number.isInteger(status) && status >= 400 && status <= 599 ? status : undefined;
}

function toCode({ status }: UpstreamFailure, reason: LoggedReason | undefined): ErrorCode {
  if (reason === 'insufficient_credit' || status === 401 || status === 402) return 'UPSTREAM_UNAVAILABLE';
  if (status === 429 || (status === undefined && reason === 'rate_limited')) return 'UPSTREAM_RATE_LIMITED';
  if (status === undefined) {
    return reason === undefined || reason === 'overloaded' ? 'UPSTREAM_FAILED' : 'UPSTREAM_REFUSED';
  }
  return REFUSALS.includes(status) ? 'UPSTREAM_REFUSED' : 'UPSTREAM_FAILED';
}

/** Returns the reason to tell: that of a refusal must fit its status. */
function chooseReason(failure: UpstreamFailure, code: ErrorCode): LoggedReason | undefined {
  if (code === 'UPSTREAM_RATE_LIMITED') return 'rate_limited';
  const reason = findReason(failure.body);
  if (code !== 'UPSTREAM_REFUSED') return reason ?? (failure.status === 529 ? 'overloaded' : undefined);
  return reason ?? (failure.status === 413 ? 'request_too_large' : undefined);
}

/** Returns an error of upstream's in our words: a code of ours, and a reason of a closed list. */
export function toUpstreamError(failure: UpstreamFailure): ApiError {
  const code = toCode(failure, findReason(failure.body));
  const reason = chooseReason(failure, code);
  const retryAfter =
    parseRetryAfter(failure.hints) ?? (code === 'UPSTREAM_RATE_LIMITED' ? DEFAULT_RETRY_SECONDS : undefined);
  const isToldReason = isRefusalReason(reason) && code !== 'UPSTREAM_UNAVAILABLE';
  return new ApiError(code, {
    ...(isToldReason && { sentence: REASONS[reason] }),
    extras: { ...(isToldReason && { reason }), ...(retryAfter !== undefined && { retry_after: retryAfter }) },
    cause: new Error(`upstream answered ${failure.status ?? 'an error'}${reason === undefined ? '' : `: ${reason}`}`),
  });
}

/** Returns the hints in an error's JSON: members of its own, or header fields it quotes. */
function findHints(places: readonly Fields[]): RetryHints {
  const find = (name: keyof RetryHints) => {
    for (const place of places) {
      for (const [key, value] of Object.entries(place)) {
        const lowerCase = key.toLowerCase();
        if (lowerCase === name || RETRY_MEMBERS[name].includes(lowerCase)) return toHint(value);
      }
    }
    return undefined;
  };
  return { 'retry-after': find('retry-after'), 'retry-after-ms': find('retry-after-ms') };
}

/**
 * Returns an error that came as JSON with status 200, in a stream or whole, in our words.
 * @param body the chunk, or the answer
 */
export function toErrorInBody(body: unknown): ApiError {
  const whole = toFields(body);
  const [choice] = Array.isArray(whole['choices']) ? whole['choices'].map(toFields) : [];
  const error = toFields(whole['error'] ?? choice?.['error']);
  const metadata = toFields(error['metadata']);
  const statuses = [error['code'], error['status'], error['status_code'], whole['code'], whole['status']];
  const status = [...statuses, whole['status_code']].map(toStatus).find((known) => known !== undefined);
  // Not the rest of it, which may be text of the model's.
  const { choices: _choices, usage: _usage, ...rest } = whole;
  return toUpstreamError({
    status,
    body: choice?.['error'] === undefined ? rest : { ...rest, error },
    hints: findHints([error, metadata, toFields(metadata['headers']), toFields(error['headers']), whole]),
  });
}
