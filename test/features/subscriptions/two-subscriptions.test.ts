import { createInvoice } from '../../helpers/fakes/stripe-invoices.js';
import { DAY, eventObject, nowSeconds, PRICE_PREMIUM, subscriptionObject } from '../../helpers/fakes/stripe-objects.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { deliver, listGrants, openSubscriber, readSubscription } from '../../helpers/subscriptions.js';

const stripe = await openStripe(t);
const server = await openTestServer(t, { environment: stripe.environment });

/** A person who paid two checkouts that were open at once: pro first, then premium. */
async function openTwice() {
  const {
    user,
    customer,
    subscription: older,
  } = await openSubscriber(server, stripe, { created: nowSeconds() - 2 * DAY });
  const newer = subscriptionObject({ customer, userId: user.id, price: PRICE_PREMIUM, created: nowSeconds() - DAY });
  stripe.subscriptions.set(newer.id, newer);
  await deliver(server, eventObject('customer.subscription.created', newer));
  for (const one of [older, newer]) await deliver(server, eventObject('invoice.paid', createInvoice(one)));
  return { user, older, newer };
}

t.test('who paid twice has both periods granted, and ends both at once', async (t) => {
  const { user, older, newer } = await openTwice();
  t.strictSame(await listGrants(server, user), [5_000_000, 20_000_000]);
  t.match(await readSubscription(user), { tier: 'premium' });
  const response = await user.as('DELETE', '/api/subscriptions?now=true');
  t.equal(response.statusCode, 200);
  t.match(response.json(), { tier: 'free', status: 'canceled' });
  for (const { id } of [older, newer]) t.equal(stripe.subscriptions.get(id)?.status, 'canceled');
  await server.verifyLedger(t);
});

t.test('both end with their periods', async (t) => {
  const { user, older, newer } = await openTwice();
  const response = await user.as('DELETE', '/api/subscriptions');
  t.match(response.json(), { tier: 'premium', cancel_at_period_end: true });
  for (const { id } of [older, newer]) t.equal(stripe.subscriptions.get(id)?.cancel_at_period_end, true);
  await server.verifyLedger(t);
});

t.test('when one of them ends, the other is in force at once', async (t) => {
  for (const status of ['canceled', 'incomplete_expired']) {
    const { user, newer } = await openTwice();
    const ended = { ...newer, status };
    stripe.subscriptions.set(newer.id, ended);
    const event = eventObject('customer.subscription.deleted', ended, { created: nowSeconds() + 1 });
    t.equal((await deliver(server, event)).statusCode, 200);
    t.match(await readSubscription(user), { tier: 'pro', status: 'active' });
  }
});

t.test('an event whose other subscription could not be looked up is delivered again, and then is', async (t) => {
  const { user, newer } = await openTwice();
  const ended = { ...newer, status: 'canceled' };
  stripe.subscriptions.set(newer.id, ended);
  const event = eventObject('customer.subscription.deleted', ended);
  stripe.setTrouble(500);
  t.equal((await deliver(server, event)).statusCode, 503);
  stripe.setTrouble(undefined);
  t.equal((await deliver(server, event)).statusCode, 200);
  t.match(await readSubscription(user), { tier: 'pro', status: 'active' });
});

t.end();
