import type Stripe from 'stripe';
import type { Config } from '../../config/config.js';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';

/** The tiers that are sold, the lower one first. */
export const PAID_TIERS = ['pro', 'premium'] as const;
export type PaidTier = (typeof PAID_TIERS)[number];

/** The version of Stripe's API this code is written for, and that of the package's types. */
const API_VERSION = '2026-10-28.endive';
const TIMEOUT_MS = 10_000;
const RETRIES = 1;

/** What the log says of prices that people pay and no tier has. */
export const UNKNOWN_PRICES =
  'somebody pays a price that no tier has, and gets nothing for it: add it to STRIPE_PRICE_PRO or STRIPE_PRICE_PREMIUM';

/** Maps tiers to Stripe's prices, and back. */
export interface Prices {
  /** Returns the price a tier is sold at; undefined if it is not for sale. */
  readonly findPrice: (tier: PaidTier) => string | undefined;
  /** Returns the tier a price is or was for; undefined for a price of something else. */
  readonly findTier: (price: string) => PaidTier | undefined;
}

/** Stripe, and what this server sells there. */
export interface Payments {
  readonly stripe: Stripe;
  readonly prices: Prices;
  /** Signing secret of the webhook endpoint. */
  readonly webhookSecret: string;
  /** True if the key moves real money; events must agree. */
  readonly livemode: boolean;
  /** Days a tier stays in force after a failed payment. */
  readonly graceDays: number;
  /** Whether tokens of money that went back are written down once they are spent, instead of owed. */
  readonly forgivesReturns: boolean;
  /** URL that Stripe's pages about a subscription send people back to. */
  readonly returnUrl: string;
  /** URL that its payment page sends people to once they have paid, with a place for its id. */
  readonly successUrl: string;
  /** URL that its payment page sends people to who go back. */
  readonly cancelUrl: string;
}

/** Builds the look-up of prices from the lists the configuration names, whose first price is the one for sale. */
function createPrices(lists: Readonly<Record<PaidTier, readonly string[]>>): Prices {
  return {
    findPrice: (tier) => lists[tier][0],
    findTier: (price) => PAID_TIERS.find((tier) => lists[tier].includes(price)),
  };
}

/** Builds the client of Stripe if the configuration has its keys; Stripe is not called yet. */
export async function createPayments(config: Config['stripe']): Promise<Payments | undefined> {
  if (config === undefined) return undefined;
  // The package is a fifth of what a start loads, so only servers that take payments do.
  const { default: StripeClient } = await import('stripe');
  const { protocol, hostname, port } = new URL(config.apiBase);
  return {
    stripe: new StripeClient(config.secretKey, {
      host: hostname,
      ...(port !== '' && { port }),
      protocol: protocol === 'http:' ? 'http' : 'https',
      apiVersion: API_VERSION,
      timeout: TIMEOUT_MS,
      maxNetworkRetries: RETRIES,
      telemetry: false,
    }),
    prices: createPrices(config.prices),
    webhookSecret: config.webhookSecret,
    livemode: config.secretKey.includes('_live_'),
    graceDays: config.graceDays,
    forgivesReturns: config.forgivesReturns,
    returnUrl: config.returnUrl,
    successUrl: config.successUrl,
    cancelUrl: config.cancelUrl,
  };
}

/** The services that acting at Stripe for a person needs. */
export interface PaymentServices {
  readonly database: Database;
  readonly payments: Payments | undefined;
}

/**
 * Returns Stripe, for a route that needs it.
 * @throws {ApiError} PAYMENTS_DISABLED without keys
 */
export function requirePayments({ payments }: Pick<PaymentServices, 'payments'>): Payments {
  if (payments === undefined) throw new ApiError('PAYMENTS_DISABLED');
  return payments;
}

/**
 * Returns the price a tier is sold at.
 * @throws {ApiError} PAYMENTS_DISABLED if the tier is not for sale
 */
export function requirePrice({ prices }: Payments, tier: PaidTier): string {
  const price = prices.findPrice(tier);
  if (price !== undefined) return price;
  throw new ApiError('PAYMENTS_DISABLED', { sentence: 'This tier is not for sale on this server' });
}
