import { createApiKey, registerUser, sendWith } from '../../helpers/accounts.js';
import { PRICE_PREMIUM, PRICE_PRO, subscriptionObject } from '../../helpers/fakes/stripe-objects.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { PREFIXES } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import {
  assertFromUs,
  openCustomer,
  openSubscriber,
  readSubscription,
  recordRequests,
} from '../../helpers/subscriptions.js';

const stripe = await openStripe(t);
const environment: Record<string, string> = { ...stripe.environment, PUBLIC_URL: 'https://tokens.example.com/' };
const server = await openTestServer(t, { environment });

const asked = (act: () => Promise<unknown>) => recordRequests(stripe, act);

t.test('choosing a tier creates a customer and a payment page, with both prefixes and credentials', async (t) => {
  const user = await registerUser(server);
  const token = await createApiKey(user);
  const [customer, ...others] = await asked(async () => {
    for (const [credential, prefix] of [
      [user.token, PREFIXES[0]],
      [token, PREFIXES[1]],
    ] as const) {
      const response = await sendWith(server, credential, 'POST', `${prefix}/subscriptions`, { tier: 'premium' });
      t.equal(response.statusCode, 201);
      t.match(response.json(), { checkout_url: /^https:\/\/checkout\.stripe\.com\// });
    }
  });
  t.match(customer, { method: 'POST', path: '/v1/customers' });
  assertFromUs(t, customer, { email: user.email, 'metadata[user_id]': user.id });
  const [[id = '']] = [[...stripe.customers.keys()].slice(-1)];
  const sessions = others.filter(({ method }) => method === 'POST');
  t.equal(sessions.length, 2, 'the customer is made once');
  for (const session of sessions) {
    t.match(session, { method: 'POST', path: '/v1/checkout/sessions' });
    assertFromUs(t, session, {
      mode: 'subscription',
      customer: id,
      client_reference_id: user.id,
      'line_items[0][price]': PRICE_PREMIUM,
      'line_items[0][quantity]': '1',
      'subscription_data[metadata][user_id]': user.id,
      'metadata[user_id]': user.id,
      success_url: 'https://tokens.example.com/checkout-success#{CHECKOUT_SESSION_ID}',
      cancel_url: 'https://tokens.example.com/checkout-cancelled',
    });
  }
  t.match(await readSubscription(user), { tier: 'free', status: 'none', subscribed_tier: null }, 'nothing is paid yet');
});

t.test('concurrent requests create one customer', async (t) => {
  const user = await registerUser(server);
  const before = stripe.customers.size;
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => user.as('POST', '/api/subscriptions', { tier: 'pro' })),
  );
  t.ok(answers.every(({ statusCode }) => statusCode === 201));
  t.equal(stripe.customers.size, before + 1);
});

t.test('an Idempotency-Key is passed on, for its owner and this write only', async (t) => {
  const [{ user }, { user: other }] = [await openCustomer(server), await openCustomer(server)];
  const send = (tier: string, who = user) =>
    who.as('POST', '/api/subscriptions', { tier }, { 'idempotency-key': 'mine' });
  const [first, again] = [await send('pro'), await send('pro')];
  t.equal(first.json<{ checkout_url: string }>().checkout_url, again.json<{ checkout_url: string }>().checkout_url);
  t.not(
    first.json<{ checkout_url: string }>().checkout_url,
    (await send('pro', other)).json<{ checkout_url: string }>().checkout_url,
  );
  const mismatch = await send('premium');
  t.equal(mismatch.statusCode, 422);
  t.match(mismatch.json(), { code: 'IDEMPOTENCY_MISMATCH' });
  const keys = stripe.requestsFor('POST', '/v1/checkout/sessions').map(({ headers }) => headers['idempotency-key']);
  t.notOk(keys.some((key) => String(key).includes('mine')));
});

t.test('a customer deleted at Stripe is created again', async (t) => {
  const { user, customer } = await openCustomer(server);
  stripe.customers.delete(customer);
  t.equal((await user.as('POST', '/api/subscriptions', { tier: 'pro' })).statusCode, 201);
  const [row] = await server.database.sql<{ id: string }>(
    'select stripe_customer_id as id from subscriptions where user_id = $1',
    [user.id],
  );
  t.not(row?.id, customer);
  t.ok(stripe.customers.has(row?.id ?? ''));
});

t.test('a person with a running subscription cannot pay for a second one', async (t) => {
  const { user } = await openSubscriber(server, stripe, { status: 'past_due' });
  const response = await user.as('POST', '/api/subscriptions', { tier: 'pro' });
  t.equal(response.statusCode, 409);
  t.match(response.json(), { code: 'ALREADY_SUBSCRIBED' });
  const { user: former } = await openSubscriber(server, stripe, { status: 'canceled' });
  t.equal((await former.as('POST', '/api/subscriptions', { tier: 'pro' })).statusCode, 201);
});

t.test('a person who paid a moment ago, and whose event has not arrived, cannot pay again', async (t) => {
  const { user, customer } = await openCustomer(server);
  const subscription = subscriptionObject({ customer, userId: user.id });
  stripe.subscriptions.set(subscription.id, subscription);
  const requests = await asked(async () => {
    const response = await user.as('POST', '/api/subscriptions', { tier: 'premium' });
    t.equal(response.statusCode, 409);
    t.match(response.json(), { code: 'ALREADY_SUBSCRIBED' });
  });
  t.match(requests[0], { method: 'GET', path: '/v1/subscriptions', form: { customer, limit: '10' } });
  t.notOk(requests.some(({ method }) => method === 'POST'));
  t.match(await readSubscription(user), { tier: 'pro', status: 'active' }, 'and is told now');
});

t.test("the portal is Stripe's page, and only open to people it knows", async (t) => {
  const { user, customer } = await openCustomer(server);
  const [session] = await asked(async () => {
    const response = await user.as('POST', '/api/subscriptions/portal');
    t.equal(response.statusCode, 201);
    t.match(response.json(), { portal_url: /^https:\/\/billing\.stripe\.com\// });
  });
  t.match(session, { method: 'POST', path: '/v1/billing_portal/sessions' });
  assertFromUs(t, session, { customer, return_url: 'https://tokens.example.com/dashboard' });
});

t.test('without a subscription there is nothing to change, end or manage', async (t) => {
  const user = await registerUser(server);
  const made = await asked(async () => {
    for (const [method, url, payload] of [
      ['PUT', '/api/subscriptions', { tier: 'pro' }],
      ['DELETE', '/api/subscriptions', undefined],
      ['POST', '/api/subscriptions/portal', undefined],
    ] as const) {
      const response = await user.as(method, url, payload);
      t.equal(response.statusCode, 404, `${method} ${url}`);
      t.match(response.json(), { code: 'SUBSCRIPTION_NOT_FOUND' });
    }
  });
  t.strictSame(made, [], 'Stripe is not asked');
  t.match(await readSubscription(user), {
    tier: 'free',
    status: 'none',
    subscribed_tier: null,
    current_period_start: null,
    current_period_end: null,
    cancel_at_period_end: false,
    usage: { monthly_tokens: 0, tokens_granted: 0, tokens_used: 0, tokens_left: 1_000_000, device_limit: 10 },
  });
});

t.test('without keys every write is 503, and everybody has the free tier', async (t) => {
  const bare = await openTestServer(t);
  const user = await registerUser(bare);
  for (const [method, url, payload] of [
    ['POST', '/api/subscriptions', { tier: 'pro' }],
    ['PUT', '/api/subscriptions', { tier: 'pro' }],
    ['DELETE', '/api/subscriptions', undefined],
    ['POST', '/api/subscriptions/portal', undefined],
    ['POST', '/api/subscriptions/webhook', {}],
  ] as const) {
    const response = await user.as(method, url, payload);
    t.equal(response.statusCode, 503, `${method} ${url}`);
    t.match(response.json(), { code: 'PAYMENTS_DISABLED' });
  }
  t.match(await readSubscription(user), { tier: 'free', status: 'none' });
});

t.test('a tier without a price is not for sale; an earlier price is still honoured', async (t) => {
  const { STRIPE_PRICE_PREMIUM: _notForSale, ...proOnly } = environment;
  const prices = { ...proOnly, STRIPE_PRICE_PRO: `price_new, ${PRICE_PRO}`, JWT_SECRET: 'y'.repeat(32) };
  const other = await openTestServer(t, { environment: prices, database: server.database });
  const { user } = await openSubscriber(other, stripe);
  t.match(await readSubscription(user), { tier: 'pro' });
  const refused = await user.as('PUT', '/api/subscriptions', { tier: 'premium' });
  t.equal(refused.statusCode, 503);
  t.match(refused.json(), { code: 'PAYMENTS_DISABLED' });
  const { user: guest } = await openCustomer(other);
  t.match(stripe.requestsFor('POST', '/v1/checkout/sessions').at(-1)?.form, { 'line_items[0][price]': 'price_new' });
  t.equal((await guest.as('POST', '/api/subscriptions', { tier: 'premium' })).statusCode, 503);
});

t.end();
