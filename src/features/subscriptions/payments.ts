import Stripe from 'stripe';
import type { Config } from '../../config/config.js';
import type { Database } from '../../platform/database/client/database.js';
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

/** Builds the client of Stripe where the configuration has its keys; Stripe is not called yet. */
export function createPayments(config: Config['stripe']): Payments | undefined {
  if (config === undefined) return undefined;
  const { protocol, hostname, port } = new URL(config.apiBase);
  return {
    stripe: new Stripe(config.secretKey, {
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
    returnUrl: config.returnUrl,
  };
}

/** What acting at Stripe for somebody takes. */
export interface PaymentServices {
  readonly database: Database;
  readonly payments: Payments | undefined;
}

/**
 * Stripe, for a route that needs it.
 * @throws {ApiError} PAYMENTS_DISABLED without keys
 */
export function requirePayments({ payments }: Pick<PaymentServices, 'payments'>): Payments {
  if (payments === undefined) throw new ApiError('PAYMENTS_DISABLED');
  return payments;
}

/**
 * The price a tier is sold at.
 * @throws {ApiError} PAYMENTS_DISABLED for a tier that is not for sale
 */
export function requirePrice({ prices }: Payments, tier: PaidTier): string {
  const price = prices.priceOf(tier);
  if (price !== undefined) return price;
  throw new ApiError('PAYMENTS_DISABLED', { sentence: 'This tier is not for sale on this server' });
}
