import type { FastifyRequest } from 'fastify';
import type Stripe from 'stripe';
import { getUser } from '../../auth/guards/user-guard.js';
import { ApiError } from '../../platform/errors.js';
import { applySubscription } from './apply.js';
import { stripeAccount } from './customer.js';
import { toIdempotencyOptions } from './idempotency-key.js';
import { type PaymentServices, type Payments, requirePayments, requirePrice } from './payments.js';
import { PAID_TIERS, type PaidTier } from './prices.js';
import { callStripe, isMissing } from './stripe-errors.js';
import { itemOf, stateOf } from './stripe-objects.js';

/** What Stripe calls the subscription in a path when it does not know it. */
const SUBSCRIPTION_PARAMETERS = ['id', 'subscription', 'subscription_exposed_id'] as const;

/** Changes the caller's running subscription at Stripe, and here as Stripe then says it is. */
async function change(
  services: PaymentServices,
  request: FastifyRequest,
  act: (payments: Payments, id: string) => Promise<unknown>,
): Promise<void> {
  const { subscription_id: id, version } = await stripeAccount(services.database, getUser(request));
  const payments = requirePayments(services);
  if (id === null) throw new ApiError('SUBSCRIPTION_NOT_FOUND');
  const changed = await callStripe(() =>
    act(payments, id).catch((error: unknown) => {
      throw SUBSCRIPTION_PARAMETERS.some((name) => isMissing(error, name))
        ? new ApiError('SUBSCRIPTION_NOT_FOUND')
        : error;
    }),
  );
  const state = stateOf(changed, payments);
  if (state === undefined) throw new ApiError('SERVICE_UNAVAILABLE', { cause: new Error('unexpected subscription') });
  await applySubscription(services.database, payments, state, { version });
}

/** A subscription goes on after all. */
function withoutEnd({ cancel_at_period_end, cancel_at }: Stripe.Subscription): Stripe.SubscriptionUpdateParams {
  if (cancel_at_period_end) return { cancel_at_period_end: false };
  return cancel_at === null ? {} : { cancel_at: '' };
}

/**
 * Changes the tier. A higher one is paid for the rest of the period at once, or nothing changes; what is left of a lower
 * one's price is credited on the next invoice. A subscription that was to end goes on.
 * @throws {ApiError} SUBSCRIPTION_NOT_FOUND, PAYMENT_FAILED, PAYMENTS_DISABLED also for a tier without a price
 */
export async function changeTier(services: PaymentServices, request: FastifyRequest, tier: PaidTier): Promise<void> {
  await change(services, request, async (payments, id) => {
    const price = requirePrice(payments, tier);
    const current = await payments.stripe.subscriptions.retrieve(id);
    const item = itemOf(current, payments);
    if (item === undefined) throw new ApiError('SERVICE_UNAVAILABLE', { cause: new Error('unexpected subscription') });
    const present = payments.prices.tierOf(item.price.id);
    const rise = present === undefined ? 1 : PAID_TIERS.indexOf(tier) - PAID_TIERS.indexOf(present);
    const ended = withoutEnd(current);
    if (rise === 0 && Object.keys(ended).length === 0) return current;
    const params: Stripe.SubscriptionUpdateParams =
      rise === 0
        ? ended
        : {
            ...ended,
            items: [{ id: item.id, price }],
            proration_behavior: rise > 0 ? 'always_invoice' : 'create_prorations',
            payment_behavior: 'error_if_incomplete',
          };
    return payments.stripe.subscriptions.update(id, params, toIdempotencyOptions(request, `change:${id}:${tier}`));
  });
}

/**
 * Ends the subscription with the period that is paid for, or at once; tokens that were granted stay.
 * @throws {ApiError} SUBSCRIPTION_NOT_FOUND
 */
export async function endSubscription(services: PaymentServices, request: FastifyRequest, now: boolean): Promise<void> {
  await change(services, request, ({ stripe }, id) =>
    now
      ? stripe.subscriptions.cancel(id, {}, toIdempotencyOptions(request, `cancel:${id}`))
      : stripe.subscriptions.update(id, { cancel_at_period_end: true }, toIdempotencyOptions(request, `end:${id}`)),
  );
}
