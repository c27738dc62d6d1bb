import { type Static, Type } from '@sinclair/typebox';
import type Stripe from 'stripe';
import { ApiError } from '../../platform/errors.js';
import { type PaymentServices, requirePayments } from './payments.js';
import { BoughtOrNothingSchema, type PurchaseSchema } from './schemas.js';
import { callStripe, isMissing } from './stripe-calls.js';

const RecordedPurchaseSchema = Type.Object({ bought: BoughtOrNothingSchema });

const USER_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const toId = (reference: string | { readonly id: string } | null) =>
  typeof reference === 'string' ? reference : reference?.id;

/** Returns a payment page of ours. @throws {ApiError} CHECKOUT_NOT_FOUND */
async function readCheckout(stripe: Stripe, id: string): Promise<Stripe.Checkout.Session> {
  const read = () =>
    stripe.checkout.sessions.retrieve(id).catch((error: unknown) => {
      throw isMissing(error) ? new ApiError('CHECKOUT_NOT_FOUND') : error;
    });
  const checkout = await callStripe(read);
  if (checkout.mode !== 'subscription') throw new ApiError('CHECKOUT_NOT_FOUND');
  return checkout;
}

/**
 * Returns what was bought on a payment page of Stripe's, as far as it is known by now.
 * @throws {ApiError} CHECKOUT_NOT_FOUND also for a page of somebody else's shop, PAYMENTS_DISABLED
 */
export async function findPurchase(services: PaymentServices, id: string): Promise<Static<typeof PurchaseSchema>> {
  const { stripe } = requirePayments(services);
  const checkout = await readCheckout(stripe, id);
  const { client_reference_id: userId, amount_total: amount, currency } = checkout;
  if (userId === null || !USER_ID.test(userId)) throw new ApiError('CHECKOUT_NOT_FOUND');
  const subscription = toId(checkout.subscription);
  const isPaid = checkout.status === 'complete' && checkout.payment_status !== 'unpaid';
  if (!isPaid || subscription === undefined) return { status: 'unpaid', amount, currency, bought: null };
  const args = { p_user_id: userId, p_subscription_id: subscription };
  const { bought } = await services.database.call('get_purchase', args, RecordedPurchaseSchema);
  return { status: bought === null ? 'paid' : 'granted', amount, currency, bought };
}
