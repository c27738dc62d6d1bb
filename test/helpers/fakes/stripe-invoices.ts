import { AMOUNTS, DAY, nowSeconds, PRICE_PRO, type SubscriptionObject, stripeId } from './stripe-objects.js';

/** A line of an invoice. */
export interface LineFacts {
  readonly price?: string;
  readonly amount?: number;
  readonly proration?: boolean;
  readonly quantity?: number;
  readonly start: number;
  readonly end: number;
}

/** Builds a line of an invoice. */
function lineObject(
  subscription: string,
  { price = PRICE_PRO, amount, proration = false, quantity = 1, start, end }: LineFacts,
) {
  const total = amount ?? AMOUNTS[price] ?? 500;
  return {
    id: stripeId('il'),
    object: 'line_item',
    amount: total,
    currency: 'usd',
    description: proration ? 'Remaining time' : '1 × Tokens (at $10.00 / month)',
    discount_amounts: [],
    discountable: !proration,
    discounts: [],
    invoice: null,
    livemode: false,
    metadata: {},
    parent: {
      invoice_item_details: null,
      subscription_item_details: {
        invoice_item: proration ? stripeId('ii') : null,
        proration,
        proration_details: { credited_items: null },
        subscription,
        subscription_item: `si_${subscription.slice(4)}`,
      },
      type: 'subscription_item_details',
    },
    period: { start, end },
    pretax_credit_amounts: [],
    pricing: {
      price_details: { price, product: 'prod_T1okens' },
      type: 'price_details',
      unit_amount_decimal: String(total),
    },
    quantity,
    taxes: [],
  };
}

/** Builds an invoice, paid by default; its parent names the subscription, as since version 2025-03-31. */
export function invoiceObject(facts: {
  readonly id?: string;
  readonly customer: string;
  readonly subscription: string;
  readonly lines: readonly LineFacts[];
  readonly status?: string;
  readonly reason?: string;
}) {
  const { id = stripeId('in'), customer, subscription, status = 'paid', reason = 'subscription_create' } = facts;
  const data = facts.lines.map((line) => ({ ...lineObject(subscription, line), invoice: id }));
  const total = data.reduce((sum, { amount }) => sum + amount, 0);
  return {
    id,
    object: 'invoice',
    account_country: 'US',
    amount_due: Math.max(total, 0),
    amount_paid: status === 'paid' ? Math.max(total, 0) : 0,
    amount_remaining: status === 'paid' ? 0 : Math.max(total, 0),
    attempt_count: 1,
    attempted: true,
    billing_reason: reason,
    collection_method: 'charge_automatically',
    created: nowSeconds() - DAY,
    currency: 'usd',
    customer,
    customer_email: 'someone@example.com',
    discounts: [],
    lines: { object: 'list', data, has_more: false, total_count: data.length, url: `/v1/invoices/${id}/lines` },
    livemode: false,
    metadata: {},
    parent: {
      quote_details: null,
      subscription_details: { metadata: {}, subscription },
      type: 'subscription_details',
    },
    period_end: nowSeconds() - DAY,
    period_start: nowSeconds() - DAY,
    post_payment_credit_notes_amount: 0,
    pre_payment_credit_notes_amount: 0,
    status,
    subtotal: total,
    total,
  };
}
export type InvoiceObject = ReturnType<typeof invoiceObject>;

/** Creates the paid invoice of a subscription's current period. */
export function createInvoice(subscription: SubscriptionObject, id = stripeId('in')): InvoiceObject {
  const [item] = subscription.items.data;
  const line = {
    price: item?.price.id ?? PRICE_PRO,
    start: item?.current_period_start ?? 0,
    end: item?.current_period_end ?? 0,
  };
  return invoiceObject({ id, customer: subscription.customer, subscription: subscription.id, lines: [line] });
}
