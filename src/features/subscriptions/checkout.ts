import type { FastifyRequest } from 'fastify';
import type Stripe from 'stripe';
import { getUser } from '../../auth/guards/user-guard.js';
import { ApiError } from '../../platform/errors.js';
import { applySubscription } from './apply.js';
import { readStripeAccount, withCustomer } from './customer.js';
import { type PaidTier, type PaymentServices, type Payments, requirePayments, requirePrice } from './payments.js';
import { callStripe, writeFor } from './stripe-calls.js';
import { parseSubscription } from './stripe-objects.js';

/**
 * Rejects a customer with a running subscription. Asks Stripe, as the event of a payment made a moment ago may not have
 * arrived yet, and nobody must pay twice.
 * @throws {ApiError} ALREADY_SUBSCRIBED
 */
async function requireNoSubscription(
  services: PaymentServices,
  payments: Payments,
  request: FastifyRequest,
  customer: string,
) {
  const { data } = await payments.stripe.subscriptions.list({ customer, limit: 10 });
  for (const subscription of data) {
    const state = parseSubscription(subscription, payments);
    if (state !== undefined) await applySubscription(services.database, payments, state);
  }
  if (data.length === 0) return;
  const { subscription_id } = await readStripeAccount(services.database, getUser(request));
  if (subscription_id !== null) throw new ApiError('ALREADY_SUBSCRIBED');
}

/**
 * Begins a subscription, which starts once it is paid.
 * @returns the URL of Stripe's payment page
 * @throws {ApiError} ALREADY_SUBSCRIBED, IDEMPOTENCY_MISMATCH, PAYMENTS_DISABLED also for a tier that is not for sale
 */
export async function beginCheckout(
  services: PaymentServices,
  request: FastifyRequest,
  tier: PaidTier,
): Promise<string> {
  const account = await readStripeAccount(services.database, getUser(request));
  const payments = requirePayments(services);
  const price = requirePrice(payments, tier);
  if (account.subscription_id !== null) throw new ApiError('ALREADY_SUBSCRIBED');
  const metadata = { user_id: account.user_id };
  const page: Stripe.Checkout.SessionCreateParams = {
    mode: 'subscription',
    client_reference_id: account.user_id,
    line_items: [{ price, quantity: 1 }],
    subscription_data: { metadata },
    metadata,
    success_url: payments.successUrl,
    cancel_url: payments.cancelUrl,
  };
  const { url } = await withCustomer(services.database, payments, getUser(request), account, async (customer) => {
    if (customer === account.customer_id) await requireNoSubscription(services, payments, request, customer);
    return writeFor(request, `checkout:${customer}`, (options) =>
      payments.stripe.checkout.sessions.create({ ...page, customer }, options),
    );
  });
  if (typeof url !== 'string')
    throw new ApiError('SERVICE_UNAVAILABLE', { cause: new Error('a session without a page') });
  return url;
}

/**
 * Opens Stripe's page for a person's invoices and payment methods.
 * @returns its URL
 * @throws {ApiError} SUBSCRIPTION_NOT_FOUND for a person Stripe does not know
 */
export async function openPortal(services: PaymentServices, request: FastifyRequest): Promise<string> {
  const { customer_id: customer } = await readStripeAccount(services.database, getUser(request));
  const { stripe, returnUrl: return_url } = requirePayments(services);
  if (customer === null) throw new ApiError('SUBSCRIPTION_NOT_FOUND');
  const open = () =>
    writeFor(request, 'portal', (options) => stripe.billingPortal.sessions.create({ customer, return_url }, options));
  return (await callStripe(open)).url;
}
