import { findErrorCode } from '../error-code.js';
import { describePoolerProblem, findPoolerProblem } from '../pooler-problem.js';

/** Statuses whose responses have no body (RFC 9110). */
const BODILESS: readonly number[] = [204, 205, 304];

/** Carries an error answer of the Data API: its HTTP status and PostgREST's error body. */
export class DataApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly details: string | null;
  readonly hint: string | null;

  constructor(
    status: number,
    code: string,
    message: string,
    extra: { details?: string | null; hint?: string | null } = {},
  ) {
    super(message);
    this.name = 'DataApiError';
    this.status = status;
    this.code = code;
    this.details = extra.details ?? null;
    this.hint = extra.hint ?? null;
  }

  /** Returns the response PostgREST would send. */
  toResponse(): Response {
    const headers = new Headers({ 'content-type': 'application/json; charset=utf-8' });
    if (this.status === 401) headers.set('www-authenticate', 'Bearer');
    const body = { code: this.code, details: this.details, hint: this.hint, message: this.message };
    return new Response(BODILESS.includes(this.status) ? null : JSON.stringify(body), { status: this.status, headers });
  }
}

/**
 * Creates the error for a database that cannot be asked. Its hint is a pooler's problem, or the code of the driver or the
 * system, where there is one.
 *
 * @param code PostgREST's code for it
 * @param message what is said of it where it is not a pooler's problem
 */
export function createOutage(code: string, message: string, cause: unknown): DataApiError {
  const problem = findPoolerProblem(cause);
  const meaning = problem && describePoolerProblem(problem);
  return new DataApiError(503, code, meaning ?? message, {
    details: cause instanceof Error ? cause.message : null,
    hint: problem ?? findErrorCode(cause) ?? null,
  });
}
