import type Stripe from 'stripe';
import { ApiError, type ErrorCode } from '../../platform/errors.js';

/** Any error of Stripe's package. */
export type StripeError = InstanceType<typeof Stripe.errors.StripeError>;

/** Kinds of error that say nothing about the request: the same one may succeed later. */
const PASSING_TYPES: ReadonlySet<string> = new Set(['StripeConnectionError', 'StripeAPIError', 'StripeRateLimitError']);
const PASSING_CODES: ReadonlySet<string> = new Set(['lock_timeout', 'rate_limit', 'idempotency_key_in_use']);

/** A refusal that is the same for the same request, by what Stripe says of it. */
interface Refusal {
  readonly code: ErrorCode;
  readonly fits: (error: StripeError) => boolean;
}

// Stripe has no codes for some of these; its sentences are matched and go no further.
const REFUSALS: readonly Refusal[] = [
  { code: 'PAYMENT_FAILED', fits: ({ type, statusCode }) => type === 'StripeCardError' || statusCode === 402 },
  {
    code: 'PAYMENT_METHOD_MISSING',
    fits: ({ code, param }) =>
      code === 'resource_missing' && (param === undefined || /payment_method|source/.test(param)),
  },
  { code: 'BILLING_EMAIL_REFUSED', fits: ({ code, param }) => code === 'email_invalid' || /email$/.test(param ?? '') },
  { code: 'BILLING_CURRENCY_MISMATCH', fits: ({ param, message }) => param === 'currency' || /currenc/i.test(message) },
  { code: 'SUBSCRIPTION_SCHEDULED', fits: ({ message }) => /subscription schedule/i.test(message) },
];

function toCode(error: StripeError): ErrorCode {
  const { type, code = '', statusCode = 0 } = error;
  if (PASSING_TYPES.has(type) || PASSING_CODES.has(code) || statusCode >= 500) return 'SERVICE_UNAVAILABLE';
  if (type === 'StripeIdempotencyError') return 'IDEMPOTENCY_MISMATCH';
  // Whatever else it refuses, a key, a price or a parameter, only the operator can put right.
  return REFUSALS.find(({ fits }) => fits(error))?.code ?? 'PAYMENTS_MISCONFIGURED';
}

/** Translates an error of Stripe; of its details the log gets only those that quote neither keys nor people. */
export function toRefusal(error: StripeError): ApiError {
  const { type, code = 'no code', param = 'none', statusCode = 0, requestId = 'none' } = error;
  const cause = new Error(`Stripe: ${type}, status ${statusCode}, ${code}, parameter ${param}, request ${requestId}`);
  return new ApiError(toCode(error), { cause, isReported: true });
}
