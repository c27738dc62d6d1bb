/** The tiers that are sold, the lower one first. */
export const PAID_TIERS = ['pro', 'premium'] as const;
export type PaidTier = (typeof PAID_TIERS)[number];

/** The prices a variable of the configuration names, the one for sale first. */
export function pricesOf(variable: string | undefined): string[] {
  return variable === undefined ? [] : variable.split(',').map((price) => price.trim());
}

/** Which price at Stripe is for which tier. */
export interface Prices {
  /** The price a tier is sold at, undefined for one that is not for sale. */
  readonly priceOf: (tier: PaidTier) => string | undefined;
  /** The tier a price is or was for, undefined for a price of something else. */
  readonly tierOf: (price: string) => PaidTier | undefined;
}

/** Reads the prices of the configuration. */
export function createPrices(variables: Readonly<Record<PaidTier, string | undefined>>): Prices {
  return {
    priceOf: (tier) => pricesOf(variables[tier])[0],
    tierOf: (price) => PAID_TIERS.find((tier) => pricesOf(variables[tier]).includes(price)),
  };
}
