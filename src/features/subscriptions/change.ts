import type { FastifyRequest } from 'fastify';
import type Stripe from 'stripe';
import { getUser } from '../../auth/guards/user-guard.js';
import { ApiError } from '../../platform/errors.js';
import { applySubscription } from './apply.js';
import { readStripeAccount } from './customer.js';
import {
  PAID_TIERS,
  type PaidTier,
  type PaymentServices,
  type Payments,
  requirePayments,
  requirePrice,
} from './payments.js';
import { callStripe, isMissing, toIdempotencyOptions } from './stripe-calls.js';
import { findTierItem, parseSubscription } from './stripe-objects.js';

/** Names by which Stripe refers to a subscription in the path that it does not know. */
const SUBSCRIPTION_PARAMETERS = ['id', 'subscription', 'subscription_exposed_id'] as const;

/**
 * Changes the caller's running subscription at Stripe, and applies here what Stripe answers.
 * @throws {ApiError} SUBSCRIPTION_NOT_FOUND, PAYMENTS_DISABLED, and as {@link callStripe}
 */
async function changeSubscription(
  services: PaymentServices,
  request: FastifyRequest,
  act: (payments: Payments, id: string) => Promise<unknown>,
): Promise<void> {
  const { subscription_id: id, version } = await readStripeAccount(services.database, getUser(request));
  const payments = requirePayments(services);
  if (id === null) throw new ApiError('SUBSCRIPTION_NOT_FOUND');
  const changed = await callStripe(() =>
    act(payments, id).catch((error: unknown) => {
      throw SUBSCRIPTION_PARAMETERS.some((name) => isMissing(error, name))
        ? new ApiError('SUBSCRIPTION_NOT_FOUND')
        : error;
    }),
  );
  const state = parseSubscription(changed, payments);
  if (state === undefined) throw new ApiError('SERVICE_UNAVAILABLE', { cause: new Error('unexpected subscription') });
  await applySubscription(services.database, payments, state, { version });
}

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
 * @throws {ApiError} SUBSCRIPTION_NOT_FOUND, PAYMENT_FAILED, PAYMENTS_DISABLED also for a tier that is not for sale
 */
export async function changeTier(services: PaymentServices, request: FastifyRequest, tier: PaidTier): Promise<void> {
  await changeSubscription(services, request, async (payments, id) => {
    const price = requirePrice(payments, tier);
    const current = await payments.stripe.subscriptions.retrieve(id);
    const item = findTierItem(current, payments);
    if (item === undefined) throw new ApiError('SERVICE_UNAVAILABLE', { cause: new Error('unexpected subscription') });
    const present = payments.prices.findTier(item.price.id);
    const rise = present === undefined ? 1 : PAID_TIERS.indexOf(tier) - PAID_TIERS.indexOf(present);
    const resume = toResumeParams(current);
    if (rise === 0 && Object.keys(resume).length === 0) return current;
    const params = rise === 0 ? resume : { ...resume, ...toTierParams(item.id, price, rise > 0) };
    return payments.stripe.subscriptions.update(id, params, toIdempotencyOptions(request, `change:${id}:${tier}`));
  });
}

/**
 * Ends the subscription with the paid period, or at once; granted tokens stay.
 * @throws {ApiError} SUBSCRIPTION_NOT_FOUND
 */
export async function endSubscription(services: PaymentServices, request: FastifyRequest, now: boolean): Promise<void> {
  await changeSubscription(services, request, ({ stripe }, id) =>
    now
      ? stripe.subscriptions.cancel(id, {}, toIdempotencyOptions(request, `cancel:${id}`))
      : stripe.subscriptions.update(id, { cancel_at_period_end: true }, toIdempotencyOptions(request, `end:${id}`)),
  );
}
