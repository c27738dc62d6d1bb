import type { FastifyRequest } from 'fastify';
import { ApiError } from '../../platform/errors.js';
import type { Payments } from './payments.js';
import { isStripeError, writeFor } from './stripe-calls.js';

/** Codes of a payment that failed only because the person has to confirm it with their bank, as by 3-D Secure. */
const UNCONFIRMED: ReadonlySet<string> = new Set([
  'authentication_required',
  'invoice_payment_intent_requires_action',
  'subscription_payment_intent_requires_action',
]);

/** Tells whether a payment failed for want of a confirmation. */
export function isUnconfirmed(error: unknown): boolean {
  return isStripeError(error) && UNCONFIRMED.has(error.code ?? '');
}

/** A change of price that is to be confirmed. */
interface PriceChange {
  readonly subscription: string;
  readonly customer: string;
  readonly item: string;
  readonly price: string;
}

/**
 * Opens Stripe's page on which a person confirms a change of price and its payment; the change takes effect there.
 * @returns the error that carries its URL
 */
export async function createConfirmation(
  { stripe, returnUrl: return_url }: Payments,
  request: FastifyRequest,
  { subscription, customer, item, price }: PriceChange,
): Promise<ApiError> {
  const flow_data = {
    type: 'subscription_update_confirm' as const,
    subscription_update_confirm: { subscription, items: [{ id: item, price }] },
    after_completion: { type: 'redirect' as const, redirect: { return_url } },
  };
  const { url } = await writeFor(request, `confirm:${subscription}:${price}`, (options) =>
    stripe.billingPortal.sessions.create({ customer, return_url, flow_data }, options),
  );
  return new ApiError('PAYMENT_CONFIRMATION_REQUIRED', { extras: { confirm_url: url } });
}
