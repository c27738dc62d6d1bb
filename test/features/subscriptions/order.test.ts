import type { TestUser } from '../../helpers/accounts.js';
import { accountLock, meetAtLock, poolLock } from '../../helpers/db/meet-at-lock.js';
import { createInvoice } from '../../helpers/fakes/stripe-invoices.js';
import {
  type EventObject,
  eventObject,
  nowSeconds,
  PRICE_PREMIUM,
  type SubscriptionObject,
  stripeId,
  subscriptionObject,
} from '../../helpers/fakes/stripe-objects.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { deliver, listGrants, openCustomer, openSubscriber, readSubscription } from '../../helpers/subscriptions.js';

const stripe = await openStripe(t);
const server = await openTestServer(t, { environment: stripe.environment });
const { database } = server;

const countFetches = ({ id }: SubscriptionObject) => stripe.requestsFor('GET', `/v1/subscriptions/${id}`).length;

function permute<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item, n) => permute(items.toSpliced(n, 1)).map((rest) => [item, ...rest]));
}

/** Reads a person's subscription as stored here, except when and how often it was written. */
async function readState(user: TestUser) {
  const [row] = await database.sql(
    `select tier, status, current_period_start, current_period_end, cancel_at_period_end, grace_ends_at, started_at
       from subscriptions where user_id = $1`,
    [user.id],
  );
  return row;
}

async function assertTaken(t: Test, events: readonly EventObject[]): Promise<void> {
  for (const event of events) {
    const response = await deliver(server, event);
    t.equal(response.statusCode, 200, event.type);
    t.strictSame(response.json(), { received: true });
  }
}

/** Creates the events of a subscription's life: created, paid, about to end, ended; each with the object as it was then. */
async function openLifecycle(at: (n: number) => number) {
  const { user, customer } = await openCustomer(server);
  const created = nowSeconds() - 5_000;
  const facts = { id: stripeId('sub'), customer, userId: user.id, created };
  const [made, updated, ended] = [
    subscriptionObject({ ...facts, status: 'incomplete' }),
    subscriptionObject({ ...facts, cancelAtPeriodEnd: true }),
    subscriptionObject({ ...facts, status: 'canceled', cancelAtPeriodEnd: true }),
  ];
  stripe.subscriptions.set(ended.id, ended);
  const events = [
    eventObject('customer.subscription.created', made, { created: at(0) }),
    eventObject('invoice.paid', createInvoice(made), { created: at(1) }),
    eventObject('customer.subscription.updated', updated, { created: at(2) }),
    eventObject('customer.subscription.deleted', ended, { created: at(3) }),
  ] as const;
  return { user, events, ended };
}

for (const [title, at] of [
  ['one after the other', (n: number) => nowSeconds() - 1_000 + n],
  ['all in the same second', () => nowSeconds() - 1_000],
] as const) {
  t.test(`in every order of arrival, events that happened ${title} end in the same state and one grant`, async (t) => {
    const states = new Set<string>();
    const orders = permute([0, 1, 2, 3]);
    t.equal(orders.length, 24);
    for (const order of orders) {
      const { user, events } = await openLifecycle(at);
      await assertTaken(
        t,
        order.flatMap((n) => events[n] ?? []),
      );
      states.add(
        JSON.stringify({ ...(await readState(user)), started_at: 0, current_period_start: 0, current_period_end: 0 }),
      );
      t.strictSame(await listGrants(server, user), [5_000_000], order.join());
      t.match(await readSubscription(user), { tier: 'free', status: 'canceled', cancel_at_period_end: true });
    }
    t.equal(states.size, 1, [...states].join());
    await server.verifyLedger(t);
  });
}

t.test('the same events 50 times in parallel take effect once', async (t) => {
  const { user, events } = await openLifecycle((n) => nowSeconds() - 1_000 + n);
  const paid = events[1];
  const answers = await meetAtLock(database, poolLock('user', 3), () =>
    Promise.all(Array.from({ length: 50 }, () => deliver(server, paid))),
  );
  t.ok(answers.every(({ statusCode }) => statusCode === 200));
  t.strictSame(await listGrants(server, user), [5_000_000]);

  const everything = Array.from({ length: 50 }, () => events).flat();
  const mixed = await meetAtLock(database, accountLock(user.id, 3), () =>
    Promise.all(everything.map((event) => deliver(server, event))),
  );
  t.ok(mixed.every(({ statusCode }) => statusCode === 200));
  t.strictSame(await listGrants(server, user), [5_000_000]);
  t.match(await readSubscription(user), { tier: 'free', status: 'canceled' });
  const noted = await database.sql('select id from private.stripe_events where id = any ($1)', [
    events.map(({ id }) => id),
  ]);
  t.equal(noted.length, 4);
  await server.verifyLedger(t);
});

t.test(
  'an event that is newer by its time is applied as it is, and an older one not at all; Stripe is not asked',
  async (t) => {
    const second = nowSeconds() - 500;
    const { user, customer, subscription } = await openSubscriber(server, stripe, {}, second);
    t.match(await readSubscription(user), { tier: 'pro', status: 'active' });
    const facts = { id: subscription.id, customer, created: subscription.created };
    const older = subscriptionObject({ ...facts, price: PRICE_PREMIUM, cancelAtPeriodEnd: true });
    const newer = subscriptionObject({ ...facts, price: PRICE_PREMIUM });
    await assertTaken(t, [eventObject('customer.subscription.updated', older, { created: second - 1 })]);
    t.match(await readSubscription(user), { tier: 'pro', cancel_at_period_end: false });
    await assertTaken(t, [eventObject('customer.subscription.updated', newer, { created: second + 1 })]);
    t.match(await readSubscription(user), { tier: 'premium', subscribed_tier: 'premium' });
    t.equal(countFetches(subscription), 0);
  },
);

t.test('an event from the future keeps none of those after it out', async (t) => {
  const { user, customer, subscription } = await openSubscriber(server, stripe);
  const facts = { id: subscription.id, customer, created: subscription.created };
  const [ahead, after] = [
    subscriptionObject({ ...facts, cancelAtPeriodEnd: true }),
    subscriptionObject({ ...facts, price: PRICE_PREMIUM }),
  ];
  stripe.subscriptions.set(ahead.id, ahead);
  await assertTaken(t, [eventObject('customer.subscription.updated', ahead, { created: nowSeconds() + 86_400 })]);
  t.match(await readSubscription(user), { tier: 'pro', cancel_at_period_end: true });
  stripe.subscriptions.set(after.id, after);
  await assertTaken(t, [eventObject('customer.subscription.updated', after)]);
  t.match(await readSubscription(user), { tier: 'premium', cancel_at_period_end: false });

  await database.sql(`update subscriptions set state_at = now() + interval '1 day' where user_id = $1`, [user.id]);
  const ended = subscriptionObject({ ...facts, status: 'canceled' });
  stripe.subscriptions.set(ended.id, ended);
  await assertTaken(t, [eventObject('customer.subscription.deleted', ended)]);
  t.match(await readSubscription(user), { tier: 'free', status: 'canceled' });
});

t.test('of two states within one second, the one Stripe has is applied', async (t) => {
  const second = nowSeconds() - 500;
  const { user, customer, subscription } = await openSubscriber(server, stripe, {}, second);
  const facts = { id: subscription.id, customer, created: subscription.created };
  stripe.subscriptions.set(subscription.id, subscriptionObject({ ...facts, cancelAtPeriodEnd: true }));
  const other = subscriptionObject({ ...facts, status: 'incomplete' });
  await assertTaken(t, [eventObject('customer.subscription.updated', other, { created: second })]);
  t.match(await readSubscription(user), { tier: 'pro', status: 'active', cancel_at_period_end: true });
  t.equal(countFetches(subscription), 1);
});

t.test('a fetched state is fetched again instead of applied if a newer one arrived meanwhile', async (t) => {
  const second = nowSeconds() - 500;
  const { user, customer, subscription } = await openSubscriber(server, stripe, {}, second);
  const facts = { id: subscription.id, customer, created: subscription.created };
  const ended = subscriptionObject({ ...facts, status: 'canceled' });
  stripe.beforeAnswering = async () => {
    stripe.beforeAnswering = undefined;
    stripe.subscriptions.set(ended.id, ended);
    await assertTaken(t, [eventObject('customer.subscription.deleted', ended, { created: second + 10 })]);
  };
  const other = subscriptionObject({ ...facts, cancelAtPeriodEnd: true });
  await assertTaken(t, [eventObject('customer.subscription.updated', other, { created: second })]);
  t.match(await readSubscription(user), { tier: 'free', status: 'canceled' });
  t.equal(countFetches(subscription), 2);
});

t.end();
