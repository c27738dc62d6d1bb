import { createInvoice, invoiceObject } from '../../helpers/fakes/stripe-invoices.js';
import {
  checkoutSessionObject,
  DAY,
  type EventObject,
  eventObject,
  nowSeconds,
  PRICE_PREMIUM,
  stripeId,
  subscriptionObject,
} from '../../helpers/fakes/stripe-objects.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { readChecksums } from '../../helpers/http/bad-input.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { deliver, listGrants, openCustomer, openSubscriber, readSubscription } from '../../helpers/subscriptions.js';

const stripe = await openStripe(t);
const server = await openTestServer(t, { environment: stripe.environment });
const { database } = server;

async function assertTaken(t: Test, events: readonly EventObject[]): Promise<void> {
  for (const event of events) {
    const response = await deliver(server, event);
    t.equal(response.statusCode, 200, event.type);
    t.strictSame(response.json(), { received: true });
  }
}

t.test('a finished checkout and a failed payment make the server fetch the state', async (t) => {
  const { user, customer } = await openCustomer(server);
  const subscription = subscriptionObject({ customer, userId: user.id });
  stripe.subscriptions.set(subscription.id, subscription);
  const session = checkoutSessionObject(subscription, user.id);
  await assertTaken(t, [eventObject('checkout.session.completed', session, { created: nowSeconds() - 100 })]);
  t.match(await readSubscription(user), { tier: 'pro', status: 'active' });

  const overdue = subscriptionObject({
    id: subscription.id,
    customer,
    created: subscription.created,
    status: 'past_due',
  });
  stripe.subscriptions.set(overdue.id, overdue);
  const invoice = { ...createInvoice(overdue), status: 'open' };
  await assertTaken(t, [eventObject('invoice.payment_failed', invoice, { created: nowSeconds() - 50 })]);
  t.match(await readSubscription(user), { tier: 'pro', status: 'past_due' });
});

t.test('paused and resumed subscriptions lose and regain their tier', async (t) => {
  const { user, customer, subscription } = await openSubscriber(server, stripe);
  const facts = { id: subscription.id, customer, created: subscription.created };
  const paused = subscriptionObject({ ...facts, status: 'paused' });
  await assertTaken(t, [eventObject('customer.subscription.paused', paused, { created: nowSeconds() - 20 })]);
  t.match(await readSubscription(user), { tier: 'free', status: 'paused', subscribed_tier: 'pro' });
  const resumed = subscriptionObject(facts);
  await assertTaken(t, [eventObject('customer.subscription.resumed', resumed, { created: nowSeconds() - 10 })]);
  t.match(await readSubscription(user), { tier: 'pro', status: 'active' });
});

t.test('an object in the shape of another API version is fetched again in ours', async (t) => {
  const { user, customer } = await openCustomer(server);
  const subscription = subscriptionObject({ customer, userId: user.id });
  const invoice = createInvoice(subscription);
  stripe.subscriptions.set(subscription.id, subscription);
  stripe.invoices.set(invoice.id, invoice);
  // As it was before 2025-03-31: the period on the subscription, the subscription on the invoice.
  const { items: _items, ...rest } = subscription;
  const oldSubscription = { ...rest, current_period_start: 1, current_period_end: 2 };
  const { parent: _parent, ...oldInvoice } = { ...invoice, subscription: subscription.id, paid: true };
  await assertTaken(t, [
    eventObject('customer.subscription.created', oldSubscription),
    eventObject('invoice.paid', oldInvoice),
  ]);
  t.match(await readSubscription(user), { tier: 'pro', usage: { tokens_granted: 5_000_000 } });
  t.equal(stripe.requestsFor('GET', `/v1/invoices/${invoice.id}`).length, 1);
  t.match(stripe.requestsFor('GET', `/v1/invoices/${invoice.id}`)[0]?.headers, {
    'stripe-version': '2026-10-28.endive',
  });
  await server.verifyLedger(t);
});

t.test(
  'while Stripe is down, what must be fetched is answered 503 and takes effect when it is sent again',
  async (t) => {
    const { user, customer } = await openCustomer(server);
    const subscription = subscriptionObject({ customer, userId: user.id });
    stripe.subscriptions.set(subscription.id, subscription);
    const event = eventObject('checkout.session.completed', checkoutSessionObject(subscription, user.id));
    stripe.setTrouble(500);
    const response = await deliver(server, event);
    stripe.setTrouble(undefined);
    t.equal(response.statusCode, 503);
    t.match(response.json(), { code: 'SERVICE_UNAVAILABLE' });
    t.match(await readSubscription(user), { tier: 'free', status: 'none' });
    await assertTaken(t, [event]);
    t.match(await readSubscription(user), { tier: 'pro' });
  },
);

t.test('events of strangers, of other types and about other things are accepted and change nothing', async (t) => {
  const { user, customer, subscription } = await openSubscriber(server, stripe);
  const stranger = subscriptionObject({ customer: stripeId('cus') });
  const mistaken = subscriptionObject({ customer, userId: '00000000-0000-4000-8000-000000000000' });
  const other = subscriptionObject({ customer, price: 'price_of_something_else' });
  const oneOff = { ...createInvoice(subscription), parent: null };
  const foreign = invoiceObject({
    customer,
    subscription: other.id,
    lines: [{ price: 'price_of_something_else', start: nowSeconds(), end: nowSeconds() + DAY }],
  });
  stripe.invoices.set(oneOff.id, createInvoice(subscription));
  const before = await readChecksums(database);
  await assertTaken(t, [
    eventObject('customer.subscription.created', stranger),
    eventObject('invoice.paid', createInvoice(stranger)),
    eventObject('invoice.payment_failed', createInvoice(stranger)),
    eventObject('checkout.session.completed', checkoutSessionObject(stranger, user.id)),
    eventObject('checkout.session.completed', { ...checkoutSessionObject(stranger, user.id), subscription: null }),
    eventObject('customer.subscription.updated', mistaken),
    eventObject('customer.subscription.updated', {}),
    eventObject('invoice.payment_failed', {}),
    eventObject('customer.created', { id: customer, object: 'customer' }),
    eventObject('constructor', {}),
  ]);
  t.strictSame(await readChecksums(database), before);
  await assertTaken(t, [eventObject('customer.subscription.created', other), eventObject('invoice.paid', foreign)]);
  t.match(await readSubscription(user), { tier: 'pro', status: 'active' });
  t.strictSame(await listGrants(server, user), []);
  await server.verifyLedger(t);
});

t.test('if a person has two subscriptions, the running one counts, and both are granted for', async (t) => {
  const { user, customer, subscription: first } = await openSubscriber(server, stripe);
  const second = subscriptionObject({ customer, userId: user.id, price: PRICE_PREMIUM, created: first.created + 100 });
  stripe.subscriptions.set(second.id, second);
  await assertTaken(t, [
    eventObject('customer.subscription.created', second, { created: nowSeconds() - 2_000 }),
    eventObject('invoice.paid', createInvoice(first)),
    eventObject('invoice.paid', createInvoice(second)),
  ]);
  t.match(await readSubscription(user), { tier: 'premium' });
  t.strictSame((await listGrants(server, user)).sort(), [20_000_000, 5_000_000]);
  const ended = { ...second, status: 'canceled' };
  await assertTaken(t, [
    eventObject('customer.subscription.deleted', ended),
    eventObject('customer.subscription.updated', first, { created: nowSeconds() - 5_000 }),
  ]);
  t.match(await readSubscription(user), { tier: 'pro', status: 'active' }, 'the one that still runs');
  stripe.subscriptions.set(second.id, ended);
  await assertTaken(t, [
    eventObject('customer.subscription.deleted', ended),
    eventObject('customer.subscription.updated', second, { created: nowSeconds() - 1_500 }),
  ]);
  t.match(await readSubscription(user), { tier: 'pro', status: 'active' }, 'whatever comes late of the other one');
  await server.verifyLedger(t);
});

t.end();
