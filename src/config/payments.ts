import { type Static, Type } from '@sinclair/typebox';
import { parseList } from './list.js';
import { Key, Price } from './variable-types.js';

/** The variables about payments. */
export const Payments = {
  STRIPE_SECRET_KEY: Key('Secret or restricted key at Stripe; without it nobody can subscribe.'),
  STRIPE_WEBHOOK_SECRET: Key("Signing secret of the webhook endpoint made at Stripe; needed with Stripe's key."),
  STRIPE_PRICE_PRO: Price('Id of the monthly price of pro; earlier ones, after commas, are still honoured.'),
  STRIPE_PRICE_PREMIUM: Price('The same for premium.'),
  STRIPE_API_BASE: Type.String({
    default: 'https://api.stripe.com',
    pattern: '^https?://[^/]+/?$',
    description: "Stripe's API; https, except on this machine.",
  }),
  PAYMENT_GRACE_DAYS: Type.Integer({
    default: 7,
    minimum: 0,
    maximum: 90,
    description: 'Days a tier stays in force after a payment failed.',
  }),
  PAYMENT_RETURNS: Type.Union([Type.Literal('owed'), Type.Literal('forgiven')], {
    default: 'owed',
    description:
      'Tokens of money that went back, once spent: `owed` lowers what the next paid invoices grant, `forgiven` writes them down.',
  }),
};

const PaymentsSchema = Type.Object(Payments);

/** Payments at Stripe, and what is sold there. */
export interface StripeConfig {
  readonly secretKey: string;
  readonly webhookSecret: string;
  readonly apiBase: string;
  /** Price ids of each paid tier, the one for sale first; earlier ones are still honoured. */
  readonly prices: { readonly pro: readonly string[]; readonly premium: readonly string[] };
  /** Days a tier stays in force after a payment failed. */
  readonly graceDays: number;
  /** Whether tokens of money that went back are written down once they are spent, instead of owed. */
  readonly forgivesReturns: boolean;
  /** Where Stripe's pages about a subscription send people back to. */
  readonly returnUrl: string;
  /** Where its payment page sends them once they have paid; Stripe puts the id of the payment page in. */
  readonly successUrl: string;
  /** Where it sends them when they go back without paying. */
  readonly cancelUrl: string;
}

/** Returns what is sold at Stripe; undefined without its keys. @param publicUrl where clients reach the server */
export function toStripeConfig(
  environment: Static<typeof PaymentsSchema>,
  publicUrl: string,
): StripeConfig | undefined {
  const { STRIPE_SECRET_KEY: secretKey, STRIPE_WEBHOOK_SECRET: webhookSecret } = environment;
  if (secretKey === undefined || webhookSecret === undefined) return undefined;
  return {
    secretKey,
    webhookSecret,
    apiBase: environment.STRIPE_API_BASE,
    prices: {
      pro: parseList(environment.STRIPE_PRICE_PRO),
      premium: parseList(environment.STRIPE_PRICE_PREMIUM),
    },
    graceDays: environment.PAYMENT_GRACE_DAYS,
    forgivesReturns: environment.PAYMENT_RETURNS === 'forgiven',
    returnUrl: `${publicUrl}/dashboard`,
    // In the fragment, as what is there reaches no log.
    successUrl: `${publicUrl}/checkout-success#{CHECKOUT_SESSION_ID}`,
    cancelUrl: `${publicUrl}/checkout-cancelled`,
  };
}
