import { randomBytes } from 'node:crypto';

// Objects of Stripe's API as its documentation shows them for version 2026-10-28.endive. Fields nobody here reads have the
// values of a subscription paid by card, without tax or discounts.

export const API_VERSION = '2026-10-28.endive';
export const PRICE_PRO = 'price_1SProMonthly';
export const PRICE_PREMIUM = 'price_1SPremiumMonthly';
/** What a month costs, in cents. */
export const AMOUNTS: Readonly<Record<string, number>> = { [PRICE_PRO]: 1_000, [PRICE_PREMIUM]: 3_000 };

/** Creates an id that looks like Stripe's. */
export const stripeId = (prefix: string) => `${prefix}_${randomBytes(12).toString('hex')}`;
export const nowSeconds = () => Math.floor(Date.now() / 1000);
export const DAY = 86_400;

/** Fields in which test subscriptions differ. */
export interface SubscriptionFacts {
  readonly id?: string;
  readonly customer: string;
  readonly userId?: string;
  readonly price?: string;
  readonly status?: string;
  readonly created?: number;
  readonly periodStart?: number;
  readonly periodEnd?: number;
  readonly cancelAtPeriodEnd?: boolean;
  readonly cancelAt?: number;
}

/** Returns a price as Stripe has it. */
export function priceObject(id: string) {
  return {
    id,
    object: 'price',
    active: true,
    billing_scheme: 'per_unit',
    created: 1_760_000_000,
    currency: 'usd',
    livemode: false,
    metadata: {},
    nickname: null,
    product: 'prod_T1okens',
    recurring: { interval: 'month', interval_count: 1, meter: null, trial_period_days: null, usage_type: 'licensed' },
    tax_behavior: 'unspecified',
    type: 'recurring',
    unit_amount: AMOUNTS[id] ?? 500,
    unit_amount_decimal: String(AMOUNTS[id] ?? 500),
  };
}

/** Builds a subscription; its item has the period, as since version 2025-03-31. */
export function subscriptionObject(facts: SubscriptionFacts) {
  const { id = stripeId('sub'), created = nowSeconds() - DAY, price = PRICE_PRO, status = 'active' } = facts;
  const periodStart = facts.periodStart ?? created;
  const item = {
    id: `si_${id.slice(4)}`,
    object: 'subscription_item',
    billing_thresholds: null,
    created,
    current_period_start: periodStart,
    current_period_end: facts.periodEnd ?? periodStart + 30 * DAY,
    discounts: [],
    metadata: {},
    price: priceObject(price),
    quantity: 1,
    subscription: id,
    tax_rates: [],
  };
  return {
    id,
    object: 'subscription',
    application: null,
    automatic_tax: { disabled_reason: null, enabled: false, liability: null },
    billing_cycle_anchor: periodStart,
    billing_mode: { flexible: { proration_discounts: 'included' }, type: 'flexible', updated_at: created },
    cancel_at: facts.cancelAt ?? null,
    cancel_at_period_end: facts.cancelAtPeriodEnd ?? false,
    canceled_at: status === 'canceled' ? created + 10 : null,
    cancellation_details: { comment: null, feedback: null, reason: null },
    collection_method: 'charge_automatically',
    created,
    currency: 'usd',
    customer: facts.customer,
    default_payment_method: null,
    description: null,
    discounts: [],
    ended_at: status === 'canceled' ? created + 10 : null,
    items: {
      object: 'list',
      data: [item],
      has_more: false,
      total_count: 1,
      url: `/v1/subscription_items?subscription=${id}`,
    },
    latest_invoice: null,
    livemode: false,
    metadata: facts.userId === undefined ? {} : { user_id: facts.userId },
    pause_collection: null,
    pending_update: null,
    schedule: null,
    start_date: created,
    status,
    trial_end: null,
    trial_start: null,
  };
}
export type SubscriptionObject = ReturnType<typeof subscriptionObject>;

/** Builds a completed checkout session. */
export function checkoutSessionObject(subscription: SubscriptionObject, userId: string) {
  return {
    id: stripeId('cs_test'),
    object: 'checkout.session',
    cancel_url: 'http://127.0.0.1:3000/dashboard',
    client_reference_id: userId,
    created: subscription.created,
    currency: 'usd',
    customer: subscription.customer,
    invoice: stripeId('in'),
    livemode: false,
    metadata: { user_id: userId },
    mode: 'subscription',
    payment_status: 'paid',
    status: 'complete',
    subscription: subscription.id,
    success_url: 'http://127.0.0.1:3000/dashboard',
    url: null,
  };
}

/** Builds an event about an object. */
export function eventObject(
  type: string,
  object: object,
  facts: { id?: string; created?: number; livemode?: boolean } = {},
) {
  return {
    id: facts.id ?? stripeId('evt'),
    object: 'event',
    api_version: API_VERSION,
    created: facts.created ?? nowSeconds(),
    data: { object },
    livemode: facts.livemode ?? false,
    pending_webhooks: 1,
    request: { id: null, idempotency_key: null },
    type,
  };
}
export type EventObject = ReturnType<typeof eventObject>;
