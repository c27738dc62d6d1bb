import Stripe from 'stripe';
import { publicUrlOf } from '../../config/config.js';
import type { Environment } from '../../config/environment-schema.js';
import type { DatabaseClient } from '../../platform/database/client/client.js';
import { ApiError } from '../../platform/errors.js';
import { createPrices, type PaidTier, type Prices } from './prices.js';

/** The version of Stripe's API the code is written for; the package's types are of the same. */
const API_VERSION = '2026-10-28.endive';
const TIMEOUT_MS = 10_000;
const RETRIES = 1;

/** Stripe, and what this server sells there. */
export interface Payments {
  readonly stripe: Stripe;
  readonly prices: Prices;
  /** Signing secret of the webhook endpoint. */
  readonly webhookSecret: string;
  /** Whether the key moves real money; events must say the same. */
  readonly livemode: boolean;
  /** Days a tier stays in force after a payment failed. */
  readonly graceDays: number;
  /** Where Stripe's pages send people back to. */
  readonly returnUrl: string;
}

/** Builds the client of Stripe where the configuration has its keys; Stripe is asked nothing yet. */
export function createPayments(config: Readonly<Environment>): Payments | undefined {
  const { STRIPE_SECRET_KEY: key, STRIPE_WEBHOOK_SECRET: webhookSecret } = config;
  if (key === undefined || webhookSecret === undefined) return undefined;
  const { protocol, hostname, port } = new URL(config.STRIPE_API_BASE);
  const address = { host: hostname, ...(port !== '' && { port }) };
  return {
    stripe: new Stripe(key, {
      ...address,
      protocol: protocol === 'http:' ? 'http' : 'https',
      apiVersion: API_VERSION,
      timeout: TIMEOUT_MS,
      maxNetworkRetries: RETRIES,
      telemetry: false,
    }),
    prices: createPrices({ pro: config.STRIPE_PRICE_PRO, premium: config.STRIPE_PRICE_PREMIUM }),
    webhookSecret,
    livemode: key.includes('_live_'),
    graceDays: config.PAYMENT_GRACE_DAYS,
    returnUrl: `${publicUrlOf(config)}/dashboard`,
  };
}

/** What acting at Stripe for somebody takes. */
export interface PaymentServices {
  readonly database: DatabaseClient;
  readonly payments: Payments | undefined;
}

/**
 * Stripe, for a route that needs it.
 * @throws {ApiError} PAYMENTS_DISABLED without keys
 */
export function paymentsOf({ payments }: Pick<PaymentServices, 'payments'>): Payments {
  if (payments === undefined) throw new ApiError('PAYMENTS_DISABLED');
  return payments;
}

/**
 * The price a tier is sold at.
 * @throws {ApiError} PAYMENTS_DISABLED for a tier that is not for sale
 */
export function priceFor({ prices }: Payments, tier: PaidTier): string {
  const price = prices.priceOf(tier);
  if (price !== undefined) return price;
  throw new ApiError('PAYMENTS_DISABLED', { sentence: 'This tier is not for sale on this server' });
}
