import { randomUUID } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { getUser } from '../../auth/guards/user-guard.js';
import { sha256Hex } from '../../auth/tokens/crypto.js';
import { parseIdempotencyKey } from '../../metering/idempotency-key.js';
import { ApiError } from '../../platform/errors.js';
import { type StripeError, toRefusal } from './stripe-refusals.js';

/** Tells whether an error is Stripe's, by its type, as the package is loaded only where payments are set up. */
export function isStripeError(error: unknown): error is StripeError {
  return error instanceof Error && 'type' in error && String(error.type).startsWith('Stripe');
}

/** Options of a write at Stripe, under which it takes effect once. */
export interface WriteOptions {
  readonly idempotencyKey: string;
}

/**
 * Writes at Stripe under a key. Stripe answers a key for a day as it did first, also with its own failure; where it does,
 * the write is made once more under a key of its own.
 */
export async function writeOnce<T>(key: string, write: (options: WriteOptions) => Promise<T>): Promise<T> {
  try {
    return await write({ idempotencyKey: key });
  } catch (error) {
    const isStored =
      isStripeError(error) && (error.statusCode ?? 0) >= 500 && error.headers?.['idempotent-replayed'] === 'true';
    if (!isStored) throw error;
    return write({ idempotencyKey: `${key}:${randomUUID()}` });
  }
}

/**
 * Writes at Stripe for a person, as {@link writeOnce}. Their own `Idempotency-Key` applies to the same write of that
 * person only.
 * @throws {ApiError} VALIDATION_FAILED
 */
export async function writeFor<T>(
  request: FastifyRequest,
  name: string,
  write: (options: WriteOptions) => Promise<T>,
): Promise<T> {
  const given = parseIdempotencyKey(request, undefined) ?? randomUUID();
  return writeOnce(`${name}:${getUser(request).id}:${sha256Hex(given)}`, write);
}

/**
 * Tells whether Stripe refused a request because it does not know something the request names.
 * @param parameter counts only if this parameter names it
 */
export function isMissing(error: unknown, parameter?: string): boolean {
  if (!isStripeError(error) || error.type !== 'StripeInvalidRequestError') return false;
  if (error.code !== 'resource_missing') return false;
  return parameter === undefined || error.param === parameter;
}

/**
 * Makes requests to Stripe and translates its errors.
 * @throws {ApiError} SERVICE_UNAVAILABLE for what passes; PAYMENT_FAILED, IDEMPOTENCY_MISMATCH and the like for what the
 *   person can put right, PAYMENTS_MISCONFIGURED for what only the operator can; the log has the reason
 */
export async function callStripe<T>(makeRequests: () => Promise<T>): Promise<T> {
  try {
    return await makeRequests();
  } catch (error) {
    // An answer that is not what Stripe promises cannot be read: that is its outage, and tried again.
    if (error instanceof TypeError) throw new ApiError('SERVICE_UNAVAILABLE', { cause: error });
    throw isStripeError(error) ? toRefusal(error) : error;
  }
}
