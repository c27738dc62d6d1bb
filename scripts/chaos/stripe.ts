import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import Stripe from 'stripe';

const WEBHOOK_SECRET = 'whsec_chaos';
const PRICE = 'price_chaos';
/** A month of the tier, in seconds. */
const MONTH = 30 * 86_400;

/** As much of Stripe as a subscription needs. */
export interface StripeStandIn {
  readonly environment: Readonly<Record<string, string>>;
  /** Returns the body and the header of the event that an invoice of a subscription is paid, signed now. */
  readonly signPaid: (invoice: PaidInvoice) => { readonly payload: string; readonly signature: string };
  /** Returns the header that signs a body now. */
  readonly sign: (payload: string) => string;
  readonly close: () => Promise<void>;
}

/** A paid month of a subscription. */
export interface PaidInvoice {
  readonly event: string;
  readonly invoice: string;
  readonly customer: string;
  readonly subscription: string;
  /** Which month of the subscription, from 0. */
  readonly month: number;
}

function toInvoice({ invoice, customer, subscription, month }: PaidInvoice, start: number) {
  const period = { start: start + month * MONTH, end: start + (month + 1) * MONTH };
  const line = {
    ...{ id: `il_${invoice}`, object: 'line_item', amount: 1_000, currency: 'usd', quantity: 1, invoice, period },
    parent: {
      type: 'subscription_item_details',
      invoice_item_details: null,
      subscription_item_details: { subscription, subscription_item: 'si_chaos', invoice_item: null, proration: false },
    },
    pricing: {
      type: 'price_details',
      price_details: { price: PRICE, product: 'prod_chaos' },
      unit_amount_decimal: '1000',
    },
  };
  return {
    ...{ id: invoice, object: 'invoice', customer, currency: 'usd', status: 'paid', livemode: false, created: start },
    ...{ amount_paid: 1_000, amount_due: 1_000, total: 1_000, subtotal: 1_000, billing_reason: 'subscription_cycle' },
    ...{ period_start: period.start, period_end: period.end },
    ...{ pre_payment_credit_notes_amount: 0, post_payment_credit_notes_amount: 0 },
    lines: { object: 'list', data: [line], has_more: false, url: `/v1/invoices/${invoice}/lines` },
    parent: { type: 'subscription_details', quote_details: null, subscription_details: { metadata: {}, subscription } },
  };
}

/** Starts the stand-in: it makes customers and payment pages, and knows of nothing else. */
export async function openStripe(): Promise<StripeStandIn> {
  const start = Math.floor(Date.now() / 1_000);
  const { webhooks } = new Stripe('sk_test_chaos');
  const sign = (payload: string) =>
    webhooks.generateTestHeaderString({ payload, secret: WEBHOOK_SECRET, timestamp: Math.floor(Date.now() / 1_000) });
  let made = 0;
  const server = createServer(async (request, response) => {
    await text(request);
    const path = new URL(request.url ?? '/', 'http://stripe').pathname;
    made += 1;
    const created = path.startsWith('/v1/customers')
      ? { id: `cus_chaos${made}`, object: 'customer' }
      : { id: `cs_test_chaos${made}`, object: 'checkout.session', url: 'https://checkout.stripe.com/c/pay/chaos' };
    const list = { object: 'list', data: [], has_more: false, url: path };
    // Such as /v1/invoices/in_1: nothing that was made is asked for again.
    if (request.method === 'GET' && /\/(in|sub|cs|cus|ch|pi)_\w+$/.test(path)) {
      const error = { type: 'invalid_request_error', code: 'resource_missing', param: 'id', message: 'No such object' };
      response.writeHead(404, { 'content-type': 'application/json' }).end(JSON.stringify({ error }));
      return;
    }
    response
      .writeHead(200, { 'content-type': 'application/json', 'request-id': `req_${made}` })
      .end(JSON.stringify(request.method === 'GET' ? list : created));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the stand-in has no port');
  return {
    environment: {
      STRIPE_SECRET_KEY: 'sk_test_chaos',
      STRIPE_WEBHOOK_SECRET: WEBHOOK_SECRET,
      STRIPE_API_BASE: `http://127.0.0.1:${address.port}`,
      STRIPE_PRICE_PRO: PRICE,
      STRIPE_PRICE_PREMIUM: `${PRICE}_premium`,
    },
    sign,
    signPaid: (paid) => {
      const event = {
        ...{ id: paid.event, object: 'event', type: 'invoice.paid', created: start, livemode: false },
        ...{ api_version: '2026-10-28.endive', pending_webhooks: 1, request: { id: null, idempotency_key: null } },
        data: { object: toInvoice(paid, start) },
      };
      const payload = JSON.stringify(event);
      return { payload, signature: sign(payload) };
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
