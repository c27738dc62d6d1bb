import { findLocale } from './text/text.js';

/** How many digits of an amount are behind the point, as Stripe counts (https://docs.stripe.com/currencies); two in all others. */
const STRIPE_DIGITS: ReadonlyMap<string, number> = new Map([
  ...'bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf'.split(' ').map((code) => [code, 0] as const),
  ...'bhd jod kwd omr tnd'.split(' ').map((code) => [code, 3] as const),
]);

/**
 * Returns an amount as people write it. They may count a currency in other units than Stripe does, such as the Icelandic
 * króna.
 *
 * @param amount in the currency's smallest unit, as Stripe counts
 */
export function formatMoney(amount: number, currency: string): string {
  const format = new Intl.NumberFormat(findLocale(), { style: 'currency', currency });
  return format.format(amount / 10 ** (STRIPE_DIGITS.get(currency) ?? 2));
}
