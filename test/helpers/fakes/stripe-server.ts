import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Test } from 'tap';
import type { InvoiceObject } from './stripe-invoices.js';
import {
  nowSeconds,
  PRICE_PREMIUM,
  PRICE_PRO,
  priceObject,
  type SubscriptionObject,
  stripeId,
  subscriptionObject,
} from './stripe-objects.js';
import {
  type CreditNoteObject,
  type DisputeObject,
  invoicePaymentObject,
  paymentOf,
  type RefundObject,
} from './stripe-returns.js';

export const SECRET_KEY = 'sk_test_stand-in';
export const WEBHOOK_SECRET = 'whsec_stand-in';

/** A request as Stripe saw it. */
export interface StripeRequest {
  readonly method: string;
  readonly path: string;
  /** The form, or for a GET the query. */
  readonly form: Readonly<Record<string, string>>;
  readonly headers: IncomingMessage['headers'];
}

type Answer = readonly [status: number, body: object];

/** Fake of the part of Stripe's API that the server uses. */
export interface StripeServer {
  /** Environment that points the server under test to it. */
  readonly environment: Record<string, string>;
  readonly requests: readonly StripeRequest[];
  /** Returns the requests for a method and a path so far. */
  readonly requestsFor: (method: string, path: string) => StripeRequest[];
  readonly customers: Map<string, { readonly id: string; readonly email: string }>;
  readonly subscriptions: Map<string, SubscriptionObject>;
  /** Payment pages, by id, as they can be read. */
  readonly checkouts: Map<string, object>;
  readonly invoices: Map<string, InvoiceObject>;
  readonly refunds: Map<string, RefundObject>;
  readonly disputes: Map<string, DisputeObject>;
  readonly creditNotes: Map<string, CreditNoteObject>;
  /** Answers every request from now on with a status, or lets it `hang`; undefined answers properly again. */
  setTrouble: (trouble: number | 'hang' | undefined) => void;
  /** Sets the answer to the next request for a method and a path. */
  readonly failOnce: (method: string, path: string, answer: Answer) => void;
  /** Fails the next write for a method and a path with a 500, which is the answer of its idempotency key from then on. */
  readonly breakOnce: (method: string, path: string) => void;
  /** Awaited after a subscription was read and before it is answered. */
  beforeAnswering: ((id: string) => Promise<void>) | undefined;
}

const refusal = (status: number, error: object): Answer => [
  status,
  { error: { type: 'invalid_request_error', ...error } },
];
const missing = (param: string) => refusal(404, { code: 'resource_missing', param, message: `No such ${param}` });

async function readForm(request: IncomingMessage, url: URL): Promise<Record<string, string>> {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  return Object.fromEntries([...url.searchParams, ...new URLSearchParams(body)]);
}

function toPage(
  path: string,
  data: readonly { readonly id: string }[],
  form: Readonly<Record<string, string>>,
): Answer {
  const start =
    form['starting_after'] === undefined ? 0 : data.findIndex(({ id }) => id === form['starting_after']) + 1;
  const page = data.slice(start, start + Number(form['limit'] ?? 10));
  return [200, { object: 'list', data: page, has_more: start + page.length < data.length, url: path }];
}

/** Lists the objects that have what a form asks for, where it asks. */
function listOf<K extends string, T extends Readonly<Record<K, string>>>(
  objects: ReadonlyMap<string, T>,
  key: K,
  form: Readonly<Record<string, string>>,
): T[] {
  return [...objects.values()].filter((one) => form[key] === undefined || one[key] === form[key]);
}

/** Starts the fake; it stops with the test. */
export async function openStripe(t: Test): Promise<StripeServer> {
  const requests: StripeRequest[] = [];
  const answered = new Map<string, { readonly request: string; readonly answer: Answer }>();
  const failures = new Map<string, Answer>();
  const breaks = new Set<string>();
  const stored = new Map<string, Answer>();
  let trouble: number | 'hang' | undefined;

  const listRunning = (customer?: string) =>
    [...stripe.subscriptions.values()].filter(
      (one) => one.status !== 'canceled' && (customer === undefined || one.customer === customer),
    );
  const checkCustomer = (id = '') => (stripe.customers.has(id) ? undefined : missing('customer'));
  const update = (id: string, form: Readonly<Record<string, string>>): Answer => {
    const present = stripe.subscriptions.get(id);
    if (present === undefined || present.status === 'canceled') return missing('id');
    const [item] = present.items.data;
    const changed = subscriptionObject({
      id,
      customer: present.customer,
      ...(present.metadata.user_id !== undefined && { userId: present.metadata.user_id }),
      created: present.created,
      status: present.status,
      price: form['items[0][price]'] ?? item?.price.id ?? PRICE_PRO,
      periodStart: item?.current_period_start ?? 0,
      periodEnd: item?.current_period_end ?? 0,
      cancelAtPeriodEnd: (form['cancel_at_period_end'] ?? String(present.cancel_at_period_end)) === 'true',
    });
    stripe.subscriptions.set(id, changed);
    return [200, changed];
  };
  const cancel = (id: string): Answer => {
    const present = stripe.subscriptions.get(id);
    if (present === undefined || present.status === 'canceled') return missing('id');
    const canceled = { ...present, status: 'canceled', canceled_at: nowSeconds(), ended_at: nowSeconds() };
    stripe.subscriptions.set(id, canceled);
    return [200, canceled];
  };

  const respond = (method: string, path: string, form: Readonly<Record<string, string>>): Answer => {
    const [, , resource = '', id = '', action = ''] = path.split('/');
    switch (`${method} ${resource}`) {
      case 'POST customers': {
        const customer = { id: stripeId('cus'), object: 'customer', email: form['email'] ?? '', livemode: false };
        stripe.customers.set(customer.id, customer);
        return [200, customer];
      }
      case 'DELETE customers':
        if (!stripe.customers.delete(id)) return missing('id');
        for (const [sub, { customer }] of stripe.subscriptions) if (customer === id) cancel(sub);
        return [200, { id, object: 'customer', deleted: true }];
      case 'GET checkout': {
        const checkout = stripe.checkouts.get(action);
        return checkout === undefined ? missing('session') : [200, checkout];
      }
      case 'POST checkout': {
        const url = `https://checkout.stripe.com/c/pay/${stripeId('cs_test')}`;
        return checkCustomer(form['customer']) ?? [200, { id: stripeId('cs_test'), object: 'checkout.session', url }];
      }
      case 'POST billing_portal': {
        const url = `https://billing.stripe.com/p/session/${stripeId('bps')}`;
        return checkCustomer(form['customer']) ?? [200, { id: stripeId('bps'), object: 'billing_portal.session', url }];
      }
      case 'GET subscriptions': {
        if (id === '') return toPage(path, listRunning(form['customer']), form);
        const subscription = stripe.subscriptions.get(id);
        return subscription === undefined ? missing('id') : [200, subscription];
      }
      case 'GET prices':
        return [200, priceObject(id)];
      case 'POST subscriptions':
        return update(id, form);
      case 'DELETE subscriptions':
        return cancel(id);
      case 'GET invoices': {
        if (id === '')
          return toPage(
            path,
            [...stripe.invoices.values()].filter(({ status }) => status === form['status']),
            form,
          );
        const invoice = stripe.invoices.get(id);
        if (invoice === undefined) return missing('id');
        return action === 'lines' ? toPage(path, invoice.lines.data, form) : [200, invoice];
      }
      case 'GET invoice_payments': {
        const paid = [...stripe.invoices.values()].filter(
          (invoice) =>
            invoice.amount_paid > 0 &&
            (invoice.id === form['invoice'] || paymentOf(invoice) === form['payment[payment_intent]']),
        );
        return toPage(path, paid.map(invoicePaymentObject), form);
      }
      case 'GET refunds':
        return toPage(path, listOf(stripe.refunds, 'payment_intent', form), form);
      case 'GET disputes':
        return toPage(path, listOf(stripe.disputes, 'payment_intent', form), form);
      case 'GET credit_notes':
        return toPage(path, listOf(stripe.creditNotes, 'invoice', form), form);
      default:
        return refusal(404, { message: `Unrecognized request URL (${method}: ${path})` });
    }
  };

  /** Answers a repeated key with the first answer; rejects a different request under the same key. */
  const answerOnce = ({ method, path, form, headers }: StripeRequest): Answer => {
    const failure = failures.get(`${method} ${path}`);
    failures.delete(`${method} ${path}`);
    if (failure !== undefined) return failure;
    if (headers.authorization !== `Bearer ${SECRET_KEY}`) return refusal(401, { message: 'Invalid API Key provided' });
    const key = headers['idempotency-key'];
    const broken = typeof key === 'string' ? stored.get(key) : undefined;
    if (broken !== undefined) return broken;
    if (typeof key === 'string' && breaks.delete(`${method} ${path}`)) {
      stored.set(key, refusal(500, { type: 'api_error', message: 'Broken' }));
      return refusal(500, { type: 'api_error', message: 'Broken' });
    }
    if (typeof key !== 'string' || method !== 'POST') return respond(method, path, form);
    const request = JSON.stringify([path, form]);
    const earlier = answered.get(key);
    if (earlier === undefined) {
      const answer = respond(method, path, form);
      answered.set(key, { request, answer });
      return answer;
    }
    if (earlier.request === request) return earlier.answer;
    return [400, { error: { type: 'idempotency_error', message: 'Keys for idempotent requests…' } }];
  };

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '', 'http://127.0.0.1');
    const { headers, method = '' } = request;
    const asked = { method, path: url.pathname, form: await readForm(request, url), headers };
    requests.push(asked);
    if (trouble === 'hang') return;
    const [status, body] =
      trouble === undefined ? answerOnce(asked) : refusal(trouble, { type: 'api_error', message: 'Down' });
    if (/^\/v1\/subscriptions\/./.test(url.pathname)) await stripe.beforeAnswering?.(url.pathname);
    const isReplayed = stored.has(String(headers['idempotency-key'])) && status === 500 && trouble === undefined;
    response
      .writeHead(status, {
        'content-type': 'application/json',
        'request-id': stripeId('req'),
        ...(isReplayed && { 'idempotent-replayed': 'true' }),
      })
      .end(JSON.stringify(body));
  };
  const server = createServer((request, response) => void handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the server has no address');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });

  const stripe: StripeServer = {
    environment: {
      STRIPE_SECRET_KEY: SECRET_KEY,
      STRIPE_WEBHOOK_SECRET: WEBHOOK_SECRET,
      STRIPE_API_BASE: `http://127.0.0.1:${address.port}`,
      STRIPE_PRICE_PRO: PRICE_PRO,
      STRIPE_PRICE_PREMIUM: PRICE_PREMIUM,
    },
    requests,
    requestsFor: (method, path) => requests.filter((request) => request.method === method && request.path === path),
    customers: new Map(),
    subscriptions: new Map(),
    checkouts: new Map(),
    invoices: new Map(),
    refunds: new Map(),
    disputes: new Map(),
    creditNotes: new Map(),
    setTrouble: (next) => {
      trouble = next;
    },
    breakOnce: (method, path) => breaks.add(`${method} ${path}`),
    failOnce: (method, path, answer) => failures.set(`${method} ${path}`, answer),
    beforeAnswering: undefined,
  };
  return stripe;
}
