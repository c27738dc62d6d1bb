import { randomUUID } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type Stripe from 'stripe';
import { getUser } from '../../auth/guards/user-guard.js';
import { sha256Hex } from '../../auth/tokens/crypto.js';
import { parseIdempotencyKey } from '../../metering/idempotency-key.js';
import { ApiError } from '../../platform/errors.js';

type StripeError = InstanceType<typeof Stripe.errors.StripeError>;

/** Tells whether an error is Stripe's, by its type, as the package is loaded only where payments are set up. */
export function isStripeError(error: unknown): error is StripeError {
  return error instanceof Error && 'type' in error && String(error.type).startsWith('Stripe');
}

/**
 * Returns the options under which a write at Stripe can be repeated. A person's own `Idempotency-Key` applies to the same
 * write of that person only.
 * @throws {ApiError} VALIDATION_FAILED
 */
export function toIdempotencyOptions(request: FastifyRequest, write: string): { readonly idempotencyKey: string } {
  const given = parseIdempotencyKey(request, undefined) ?? randomUUID();
  return { idempotencyKey: `${write}:${getUser(request).id}:${sha256Hex(given)}` };
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

/** Translates an error of Stripe; of its details the log gets only those that quote neither keys nor people. */
function toApiError(error: StripeError): ApiError {
  const { type, code = 'no code', param = 'none', statusCode = 0, requestId = 'none' } = error;
  const cause = new Error(`Stripe: ${type}, status ${statusCode}, ${code}, parameter ${param}, request ${requestId}`);
  if (type === 'StripeIdempotencyError') return new ApiError('IDEMPOTENCY_MISMATCH', { cause });
  if (type === 'StripeCardError' || statusCode === 402) return new ApiError('PAYMENT_FAILED', { cause });
  return new ApiError('SERVICE_UNAVAILABLE', { cause });
}

/**
 * Makes requests to Stripe and translates its errors.
 * @throws {ApiError} PAYMENT_FAILED, IDEMPOTENCY_MISMATCH, and SERVICE_UNAVAILABLE for everything else: Stripe is slow,
 *   down or misconfigured; the log has the reason
 */
export async function callStripe<T>(makeRequests: () => Promise<T>): Promise<T> {
  try {
    return await makeRequests();
  } catch (error) {
    throw isStripeError(error) ? toApiError(error) : error;
  }
}
