import { AnyResult } from '../../../src/platform/database/client/database.js';
import { createApiKey, registerUser, sendWith } from '../../helpers/accounts.js';
import { accountLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { createInvoice } from '../../helpers/fakes/stripe-invoices.js';
import {
  checkoutSessionObject,
  eventObject,
  nowSeconds,
  subscriptionObject,
} from '../../helpers/fakes/stripe-objects.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import {
  assertFromUs,
  deliver,
  openCustomer,
  openSubscriber,
  readSubscription,
  recordRequests,
} from '../../helpers/subscriptions.js';

const stripe = await openStripe(t);
const server = await openTestServer(t, { environment: stripe.environment });
const { database } = server;

const listRows = (user: string) =>
  database.sql(
    `select user_id from subscriptions where user_id = $1 union all select user_id from subscription_grants where user_id = $1`,
    [user],
  );

t.test('deleting an account ends its subscription at Stripe first, and removes all personal data', async (t) => {
  const { user, customer, subscription } = await openSubscriber(server, stripe);
  await deliver(server, eventObject('invoice.paid', createInvoice(subscription)));
  t.equal((await listRows(user.id)).length, 2);
  const requests = await recordRequests(stripe, async () => {
    t.equal((await user.as('DELETE', '/api/users/me')).statusCode, 200);
  });
  t.match(requests, [
    { method: 'DELETE', path: `/v1/subscriptions/${subscription.id}` },
    { method: 'DELETE', path: `/v1/customers/${customer}` },
  ]);
  for (const request of requests) assertFromUs(t, request, {});
  t.equal(stripe.subscriptions.get(subscription.id)?.status, 'canceled');
  t.strictSame(await listRows(user.id), []);
  await server.verifyLedger(t);

  // What Stripe tells afterwards finds nobody.
  const late = [
    eventObject('customer.subscription.deleted', { ...subscription, status: 'canceled' }),
    eventObject('invoice.paid', createInvoice(subscription)),
  ];
  for (const event of late) t.equal((await deliver(server, event)).statusCode, 200);
  await server.verifyLedger(t);
});

t.test('with an open checkout the customer is deleted, though not with an API key', async (t) => {
  const { user, customer } = await openCustomer(server);
  const key = await createApiKey(user);
  t.equal((await sendWith(server, key, 'DELETE', '/api/users/me')).statusCode, 403);
  t.ok(stripe.customers.has(customer), 'nothing was begun');
  t.equal((await user.as('DELETE', '/api/users/me')).statusCode, 200);
  t.notOk(stripe.customers.has(customer));
});

t.test('while Stripe is down nothing is deleted, and the next try does it', async (t) => {
  const { user, subscription } = await openSubscriber(server, stripe);
  stripe.setTrouble(503);
  const refused = await user.as('DELETE', '/api/users/me');
  stripe.setTrouble(undefined);
  t.equal(refused.statusCode, 503);
  t.match(refused.json(), { code: 'SERVICE_UNAVAILABLE' });
  t.equal((await user.as('GET', '/api/users/me')).statusCode, 200);
  t.match(await readSubscription(user), { tier: 'pro', status: 'active' });
  t.equal((await user.as('DELETE', '/api/users/me')).statusCode, 200);
  t.equal(stripe.subscriptions.get(subscription.id)?.status, 'canceled');
});

t.test('what Stripe has already ended does not stop a deletion', async (t) => {
  const { user, customer, subscription } = await openSubscriber(server, stripe);
  stripe.subscriptions.set(subscription.id, { ...subscription, status: 'canceled' });
  stripe.customers.delete(customer);
  t.equal((await user.as('DELETE', '/api/users/me')).statusCode, 200);
});

t.test('deleting somebody who never paid needs no Stripe', async (t) => {
  const user = await registerUser(server);
  stripe.setTrouble(503);
  const response = await user.as('DELETE', '/api/users/me');
  stripe.setTrouble(undefined);
  t.equal(response.statusCode, 200);
});

t.test('if the keys were removed, only accounts with a running subscription stay', async (t) => {
  const { user } = await openSubscriber(server, stripe);
  const { user: former } = await openSubscriber(server, stripe, { status: 'canceled' });
  const bare = await openTestServer(t, { database, environment: { JWT_SECRET: 'z'.repeat(32) } });
  for (const [person, status] of [
    [user, 503],
    [former, 200],
  ] as const) {
    const payload = { email: person.email, password: person.password };
    const session = await bare.app.inject({ method: 'POST', url: '/api/auth/login', payload });
    const { token } = session.json<{ token: string }>();
    t.equal((await sendWith(bare, token, 'DELETE', '/api/users/me')).statusCode, status);
  }
  t.match(await readSubscription(user), { tier: 'pro' });
});

t.test('subscribing during a deletion keeps the account, so that nobody is charged for nothing', async (t) => {
  const { user, customer } = await openCustomer(server);
  const caller = { id: user.id, session_id: await findSession(user.id) };
  const deletion = server.backend.database.call('delete_account', { p_caller: caller }, AnyResult);
  await t.rejects(deletion, { code: 'PT409', message: 'SUBSCRIPTION_RUNNING' });
  t.equal((await user.as('GET', '/api/users/me')).statusCode, 200);
  const subscription = subscriptionObject({ customer, userId: user.id });
  stripe.subscriptions.set(subscription.id, subscription);
  const session = checkoutSessionObject(subscription, user.id);
  await deliver(server, eventObject('checkout.session.completed', session));
  t.match(await readSubscription(user), { tier: 'pro' });
  await server.verifyLedger(t);
});

async function findSession(user: string): Promise<string> {
  const [row] = await database.sql<{ id: string }>('select id from private.sessions where user_id = $1', [user]);
  return row?.id ?? '';
}

t.test('concurrent deletions, payments and checkouts end without an account, or with a consistent one', async (t) => {
  for (let round = 0; round < 5; round += 1) {
    const { user, subscription } = await openSubscriber(server, stripe);
    const begin = (n: number) => [
      deliver(server, eventObject('invoice.paid', createInvoice(subscription))),
      deliver(server, eventObject('customer.subscription.updated', subscription, { created: nowSeconds() + n })),
      user.as('GET', '/api/subscriptions'),
      user.as('POST', '/api/subscriptions', { tier: 'pro' }),
      ...(n === 3 ? [user.as('DELETE', '/api/users/me')] : []),
    ];
    const answers = await meetAtLock(database, accountLock(user.id, 3), () =>
      Promise.all(Array.from({ length: 6 }, (_, n) => begin(n)).flat()),
    );
    const statuses = answers.map(({ statusCode }) => statusCode);
    t.strictSame(
      statuses.filter((status) => ![200, 201, 401, 409].includes(status)),
      [],
    );
    if ((await user.as('GET', '/api/users/me')).statusCode === 401) t.strictSame(await listRows(user.id), []);
    else t.equal((await user.as('DELETE', '/api/users/me')).statusCode, 200);
  }
  await server.verifyLedger(t);
});

t.test('the export holds the subscription and what was granted for it', async (t) => {
  const { user, customer, subscription } = await openSubscriber(server, stripe);
  const invoice = createInvoice(subscription);
  await deliver(server, eventObject('invoice.paid', invoice));
  const exported = (await user.as('GET', '/api/users/me/export')).json<object>();
  t.match(exported, {
    subscriptions: [
      { stripe_customer_id: customer, stripe_subscription_id: subscription.id, tier: 'pro', status: 'active' },
    ],
    subscription_grants: [{ stripe_invoice_id: invoice.id, tier: 'pro', granted_tokens: 5_000_000 }],
  });
  const nobody = await registerUser(server);
  t.match((await nobody.as('GET', '/api/users/me/export')).json(), { subscriptions: [], subscription_grants: [] });
});

t.end();
