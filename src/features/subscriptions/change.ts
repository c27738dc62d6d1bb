import type { FastifyRequest } from 'fastify';
import type Stripe from 'stripe';
import { getUser } from '../../auth/guards/user-guard.js';
import { ApiError } from '../../platform/errors.js';
import { applyOthers, applySubscription, isEnded } from './apply.js';
import { createConfirmation, isUnconfirmed } from './confirmation.js';
import { readStripeAccount } from './customer.js';
import {
  PAID_TIERS,
  type PaidTier,
  type PaymentServices,
  type Payments,
  requirePayments,
  requirePrice,
} from './payments.js';
import { callStripe, isMissing, isStripeError, writeFor } from './stripe-calls.js';
import { findTierItem, parseSubscription } from './stripe-objects.js';

/** Returns a subscription that has ended at Stripe before we heard of it, or rethrows what Stripe refused. */
async function findEnded({ stripe }: Payments, id: string, refusal: unknown): Promise<Stripe.Subscription> {
  if (!isStripeError(refusal) || refusal.type !== 'StripeInvalidRequestError') throw refusal;
  const present = await stripe.subscriptions.retrieve(id).catch((error: unknown) => {
    throw isMissing(error) ? new ApiError('SUBSCRIPTION_NOT_FOUND') : refusal;
  });
  if (!isEnded(present.status)) throw refusal;
  return present;
}

/**
 * Changes the caller's running subscription at Stripe, and applies here what Stripe answers; one that has ended there
 * already has ended here too then.
 * @returns the status it has now
 * @throws {ApiError} SUBSCRIPTION_NOT_FOUND, PAYMENTS_DISABLED, and as {@link callStripe}
 */
async function changeSubscription(
  services: PaymentServices,
  request: FastifyRequest,
  act: (payments: Payments, id: string) => Promise<unknown>,
): Promise<string> {
  const { subscription_id: id, version } = await readStripeAccount(services.database, getUser(request));
  const payments = requirePayments(services);
  if (id === null) throw new ApiError('SUBSCRIPTION_NOT_FOUND');
  const changed = await callStripe(() => act(payments, id).catch((error: unknown) => findEnded(payments, id, error)));
  const state = parseSubscription(changed, payments);
  if (state === undefined) throw new ApiError('SERVICE_UNAVAILABLE', { cause: new Error('unexpected subscription') });
  await applySubscription(services.database, payments, state, { version });
  if (isEnded(state.status)) await applyOthers(services.database, payments, state);
  return state.status;
}

const toCustomerId = ({ customer }: Stripe.Subscription) => (typeof customer === 'string' ? customer : customer.id);

/** Returns the update that keeps a subscription from ending; an empty one if it is not about to end. */
function toResumeParams({ cancel_at_period_end, cancel_at }: Stripe.Subscription): Stripe.SubscriptionUpdateParams {
  if (cancel_at_period_end) return { cancel_at_period_end: false };
  return cancel_at === null ? {} : { cancel_at: '' };
}

/** Returns the update to another price: a higher one is charged at once or refused, a lower one is credited later. */
function toTierParams(itemId: string, price: string, isHigher: boolean): Stripe.SubscriptionUpdateParams {
  return {
    items: [{ id: itemId, price }],
    proration_behavior: isHigher ? 'always_invoice' : 'create_prorations',
    payment_behavior: 'error_if_incomplete',
  };
}

/**
 * Changes the tier and keeps a subscription from ending. A higher tier is charged at once for the rest of the period, or
 * nothing changes; for a lower one the difference is credited on the next invoice.
 * @throws {ApiError} SUBSCRIPTION_NOT_FOUND also for one that has ended at Stripe, PAYMENT_FAILED,
 *   PAYMENT_CONFIRMATION_REQUIRED with the page to confirm on, PAYMENTS_DISABLED also for a tier that is not for sale
 */
export async function changeTier(services: PaymentServices, request: FastifyRequest, tier: PaidTier): Promise<void> {
  const status = await changeSubscription(services, request, async (payments, id) => {
    const price = requirePrice(payments, tier);
    const current = await payments.stripe.subscriptions.retrieve(id);
    if (isEnded(current.status)) return current;
    const item = findTierItem(current, payments);
    if (item === undefined) throw new ApiError('SERVICE_UNAVAILABLE', { cause: new Error('unexpected subscription') });
    const present = payments.prices.findTier(item.price.id);
    const rise = present === undefined ? 1 : PAID_TIERS.indexOf(tier) - PAID_TIERS.indexOf(present);
    const resume = toResumeParams(current);
    if (rise === 0 && Object.keys(resume).length === 0) return current;
    const params = rise === 0 ? resume : { ...resume, ...toTierParams(item.id, price, rise > 0) };
    return writeFor(request, `change:${id}:${tier}`, (options) =>
      payments.stripe.subscriptions.update(id, params, options),
    ).catch(async (error: unknown) => {
      if (!isUnconfirmed(error)) throw error;
      const change = { subscription: id, customer: toCustomerId(current), item: item.id, price };
      throw await createConfirmation(payments, request, change);
    });
  });
  if (isEnded(status)) throw new ApiError('SUBSCRIPTION_NOT_FOUND');
}

/**
 * Ends every subscription the caller has with its paid period, or at once; granted tokens stay. Somebody who paid two
 * checkouts has two.
 * @throws {ApiError} SUBSCRIPTION_NOT_FOUND
 */
export async function endSubscription(services: PaymentServices, request: FastifyRequest, now: boolean): Promise<void> {
  await changeSubscription(services, request, async (payments, id) => {
    const { stripe } = payments;
    const end = (one: string) =>
      now
        ? writeFor(request, `cancel:${one}`, (options) => stripe.subscriptions.cancel(one, {}, options))
        : writeFor(request, `end:${one}`, (options) =>
            stripe.subscriptions.update(one, { cancel_at_period_end: true }, options),
          );
    const ended = await end(id).catch((error: unknown) => findEnded(payments, id, error));
    const customer = toCustomerId(ended);
    const { data } = await stripe.subscriptions.list({ customer, limit: 100 });
    for (const other of data) if (other.id !== id && !(other.cancel_at_period_end && !now)) await end(other.id);
    return ended;
  });
}
