import { randomUUID } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import Stripe from 'stripe';
import { getUser } from '../../auth/guards/user-guard.js';
import { sha256Hex } from '../../auth/tokens/crypto.js';
import { parseIdempotencyKey } from '../../metering/idempotency-key.js';
import { ApiError } from '../../platform/errors.js';

const { StripeCardError, StripeError, StripeIdempotencyError, StripeInvalidRequestError } = Stripe.errors;

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
  if (!(error instanceof StripeInvalidRequestError) || error.code !== 'resource_missing') return false;
  return parameter === undefined || error.param === parameter;
}

/** Translates an error of Stripe; of its details the log gets only those that quote neither keys nor people. */
function toApiError(error: InstanceType<typeof StripeError>): ApiError {
  const { type, code = 'no code', param = 'none', statusCode = 0, requestId = 'none' } = error;
  const cause = new Error(`Stripe: ${type}, status ${statusCode}, ${code}, parameter ${param}, request ${requestId}`);
  if (error instanceof StripeIdempotencyError) return new ApiError('IDEMPOTENCY_MISMATCH', { cause });
  if (error instanceof StripeCardError || statusCode === 402) return new ApiError('PAYMENT_FAILED', { cause });
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
    throw error instanceof StripeError ? toApiError(error) : error;
  }
}
