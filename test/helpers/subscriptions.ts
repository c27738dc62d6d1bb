import type { LightMyRequestResponse } from 'fastify';
import Stripe from 'stripe';
import type { Test } from 'tap';
import { registerUser, type TestUser } from './accounts.js';
import {
  API_VERSION,
  type EventObject,
  eventObject,
  nowSeconds,
  type SubscriptionFacts,
  subscriptionObject,
} from './fakes/stripe-objects.js';
import { SECRET_KEY, type StripeRequest, type StripeServer, WEBHOOK_SECRET } from './fakes/stripe-server.js';
import type { TestServer } from './http/test-server.js';

const { webhooks } = new Stripe('sk_test_signs-only');

/** Secret and time to sign with; by default this endpoint's secret and now. */
interface Signing {
  readonly secret?: string;
  readonly timestamp?: number;
}

/** Returns the header that signs a text as Stripe does. */
export function signPayload(
  payload: string,
  { secret = WEBHOOK_SECRET, timestamp = nowSeconds() }: Signing = {},
): string {
  return webhooks.generateTestHeaderString({ payload, secret, timestamp });
}

/** Builds a webhook request: its body, and the header that signs it. */
export function signed(event: object, signing?: Signing): { readonly payload: string; readonly header: string } {
  const payload = JSON.stringify(event);
  return { payload, header: signPayload(payload, signing) };
}

/** Posts a body as Stripe does. */
export function post(
  server: Pick<TestServer, 'app'>,
  payload: string,
  header?: string,
  url = '/api/subscriptions/webhook',
): Promise<LightMyRequestResponse> {
  const headers = {
    'content-type': 'application/json; charset=utf-8',
    ...(header !== undefined && { 'stripe-signature': header }),
  };
  return server.app.inject({ method: 'POST', url, headers, payload });
}

/** Delivers an event. */
export function deliver(
  server: Pick<TestServer, 'app'>,
  event: EventObject,
  signing?: Signing,
): Promise<LightMyRequestResponse> {
  const { payload, header } = signed(event, signing);
  return post(server, payload, header);
}

/** Registers a person whom Stripe knows, but who has not paid yet. */
export async function openCustomer(
  server: TestServer,
  user?: TestUser,
): Promise<{ readonly user: TestUser; readonly customer: string }> {
  const person = user ?? (await registerUser(server));
  const response = await person.as('POST', '/api/subscriptions', { tier: 'pro' });
  if (response.statusCode !== 201) throw new Error(`checkout answered ${response.statusCode}: ${response.payload}`);
  const [row] = await server.database.sql<{ id: string }>(
    'select stripe_customer_id as id from subscriptions where user_id = $1',
    [person.id],
  );
  return { user: person, customer: row?.id ?? '' };
}

/** Registers a person with a subscription, at Stripe and here; its first period is not granted yet. */
export async function openSubscriber(
  server: TestServer,
  stripe: StripeServer,
  facts: Partial<SubscriptionFacts> = {},
  eventTime = nowSeconds() - 1_000,
) {
  const { user, customer } = await openCustomer(server);
  const subscription = subscriptionObject({ customer, userId: user.id, ...facts });
  stripe.subscriptions.set(subscription.id, subscription);
  const event = eventObject('customer.subscription.created', subscription, { created: eventTime });
  const response = await deliver(server, event);
  if (response.statusCode !== 200) throw new Error(`the event answered ${response.statusCode}: ${response.payload}`);
  return { user, customer, subscription };
}

/** What `GET /subscriptions` answers. */
export interface OwnSubscription {
  readonly tier: string;
  readonly status: string;
  readonly subscribed_tier: string | null;
  readonly current_period_start: string | null;
  readonly current_period_end: string | null;
  readonly cancel_at_period_end: boolean;
  readonly grace_ends_at: string | null;
  readonly usage: {
    readonly monthly_tokens: number;
    readonly tokens_granted: number;
    readonly tokens_used: number;
    readonly tokens_left: number;
    readonly devices: number;
    readonly device_limit: number | null;
  };
}

/** Reads a person's subscription as the API shows it to them. */
export async function readSubscription(user: TestUser): Promise<OwnSubscription> {
  return (await user.as('GET', '/api/subscriptions')).json<OwnSubscription>();
}

/** Lists the amounts a subscription added to a person's balance. */
export async function listGrants(server: TestServer, user: TestUser): Promise<number[]> {
  const rows = await server.database.sql<{ amount: string }>(
    `select amount from ledger_entries where subject_id = $1 and kind = 'subscription' order by created_at, id`,
    [user.id],
  );
  return rows.map(({ amount }) => Number(amount));
}

/** Asserts what every request to Stripe has; a write also has a key under which it may be repeated. */
export function assertFromUs(t: Test, request: StripeRequest | undefined, form: object): void {
  t.match(request?.headers, {
    authorization: `Bearer ${SECRET_KEY}`,
    'stripe-version': API_VERSION,
    ...(request?.method === 'POST' && { 'content-type': 'application/x-www-form-urlencoded' }),
    ...(request?.method !== 'GET' && { 'idempotency-key': /^[\w:-]{10,255}$/ }),
  });
  t.strictSame(request?.form, form);
}

/** Returns the requests made to Stripe during an action. */
export async function recordRequests(stripe: StripeServer, act: () => Promise<unknown>): Promise<StripeRequest[]> {
  const before = stripe.requests.length;
  await act();
  return stripe.requests.slice(before);
}
