/** Shortest and longest wait that is passed on, in seconds; what lies beyond is moved to the nearer one. */
const MIN_SECONDS = 1;
const MAX_SECONDS = 3_600;
const NUMBER = /^\d+(\.\d*)?$/;

/** How an answer says when to try again: the values of its header fields, as they came. */
export interface RetryHints {
  /** Seconds, or an HTTP date (RFC 9110, section 10.2.3). */
  readonly 'retry-after'?: string | undefined;
  /** Milliseconds, as OpenAI and Azure send them. */
  readonly 'retry-after-ms'?: string | undefined;
}

/** Returns milliseconds from now to an HTTP date in any of its three forms (RFC 9110, section 5.6.7). */
function parseDate(value: string, now: number): number | undefined {
  // The obsolete asctime form names no zone: it is in UTC as well.
  const time = Date.parse(/\b(GMT|UTC|Z)$|[+-]\d\d:?\d\d$/i.test(value) ? value : `${value} GMT`);
  return /[a-z]/i.test(value) && Number.isFinite(time) ? time - now : undefined;
}

function parseMilliseconds(hints: RetryHints, now: number): number | undefined {
  const milliseconds = hints['retry-after-ms']?.trim() ?? '';
  if (NUMBER.test(milliseconds)) return Number(milliseconds);
  const value = hints['retry-after']?.trim() ?? '';
  return NUMBER.test(value) ? Number(value) * 1_000 : parseDate(value, now);
}

/**
 * Returns the whole seconds, from 1 to 3,600, after which upstream wants to be asked again.
 * @returns undefined where it does not say, or in no form there is
 */
export function parseRetryAfter(hints: RetryHints, now = Date.now()): number | undefined {
  const wait = parseMilliseconds(hints, now);
  return wait === undefined ? undefined : Math.min(Math.max(Math.ceil(wait / 1_000), MIN_SECONDS), MAX_SECONDS);
}
