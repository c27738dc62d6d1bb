import type { Static } from '@sinclair/typebox';
import { LRUCache } from 'lru-cache';
import type { Payments } from './payments.js';
import { PAID_TIERS } from './payments.js';
import { INTERVALS, type PlanSchema, type PlansSchema } from './schemas.js';

/** How long a price is believed, in milliseconds: Stripe's prices never change, but may be archived. */
const FRESH_MS = 60 * 60 * 1_000;

/** Nobody waits long for what is an extra. */
const PATIENCE = { timeout: 2_000, maxNetworkRetries: 0 } as const;

type Plan = Static<typeof PlanSchema>;
type OfferedPlan = Static<typeof PlansSchema>['plans'][number];
type Price = OfferedPlan['price'];

/** Says for each tier whether it is for sale, and what it costs. */
export type OfferPlans = (plans: readonly Plan[]) => Promise<OfferedPlan[]>;

/** Creates what adds prices to tiers. They are an extra: without an answer from Stripe the tiers are told without them. */
export function createOffers(payments: Payments | undefined): OfferPlans {
  const known = new LRUCache<string, NonNullable<Price>>({ max: 20, ttl: FRESH_MS });

  const readPrice = async (id: string): Promise<Price> => {
    const price = known.get(id);
    if (price !== undefined || payments === undefined) return price ?? null;
    const { unit_amount: amount, currency, recurring } = await payments.stripe.prices.retrieve(id, {}, PATIENCE);
    const interval = INTERVALS.find((one) => one === recurring?.interval);
    if (amount === null || interval === undefined) return null;
    const found = { amount, currency, interval };
    known.set(id, found);
    return found;
  };

  return (plans) =>
    Promise.all(
      plans.map(async (plan) => {
        const tier = PAID_TIERS.find((paid) => paid === plan.tier);
        const id = tier && payments?.prices.findPrice(tier);
        if (id === undefined) return { ...plan, for_sale: false, price: null };
        return { ...plan, for_sale: true, price: await readPrice(id).catch(() => null) };
      }),
    );
}
