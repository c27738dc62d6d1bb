import Stripe from 'stripe';
import { ApiError } from '../../platform/errors.js';

const { StripeCardError, StripeError, StripeIdempotencyError, StripeInvalidRequestError } = Stripe.errors;

/**
 * Whether Stripe does not know what a request is about.
 * @param parameter asks only whether this one names what is not known
 */
export function isMissing(error: unknown, parameter?: string): boolean {
  if (!(error instanceof StripeInvalidRequestError) || error.code !== 'resource_missing') return false;
  return parameter === undefined || error.param === parameter;
}

/** The answer to what went wrong at Stripe; of its own words only what quotes neither keys nor people is kept for the log. */
function apiErrorOf(error: InstanceType<typeof StripeError>): ApiError {
  const { type, code = 'no code', param = 'none', statusCode = 0, requestId = 'none' } = error;
  const cause = new Error(`Stripe: ${type}, status ${statusCode}, ${code}, parameter ${param}, request ${requestId}`);
  if (error instanceof StripeIdempotencyError) return new ApiError('IDEMPOTENCY_MISMATCH', { cause });
  if (error instanceof StripeCardError || statusCode === 402) return new ApiError('PAYMENT_FAILED', { cause });
  return new ApiError('SERVICE_UNAVAILABLE', { cause });
}

/**
 * Makes requests to Stripe.
 * @throws {ApiError} PAYMENT_FAILED, IDEMPOTENCY_MISMATCH, and SERVICE_UNAVAILABLE for everything else: Stripe is slow, down
 *   or not set up as it should be; the reason is for the log
 */
export async function callStripe<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw error instanceof StripeError ? apiErrorOf(error) : error;
  }
}
