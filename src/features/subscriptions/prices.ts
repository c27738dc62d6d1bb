/** The tiers that are sold, the lower one first. */
export const PAID_TIERS = ['pro', 'premium'] as const;
export type PaidTier = (typeof PAID_TIERS)[number];

/** Which price at Stripe is for which tier. */
export interface Prices {
  /** The price a tier is sold at, undefined for one that is not for sale. */
  readonly priceOf: (tier: PaidTier) => string | undefined;
  /** The tier a price is or was for, undefined for a price of something else. */
  readonly tierOf: (price: string) => PaidTier | undefined;
}

/** Builds the look-up of prices from the lists the configuration names, the one for sale first. */
export function createPrices(lists: Readonly<Record<PaidTier, readonly string[]>>): Prices {
  return {
    priceOf: (tier) => lists[tier][0],
    tierOf: (price) => PAID_TIERS.find((tier) => lists[tier].includes(price)),
  };
}
