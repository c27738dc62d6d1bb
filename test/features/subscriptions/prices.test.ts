import { parseStripeConfig } from '../../../src/config/config.js';
import { createBilling } from '../../../src/features/subscriptions/billing.js';
import { createInvoice, invoiceObject, type LineFacts } from '../../helpers/fakes/stripe-invoices.js';
import { DAY, eventObject, nowSeconds, PRICE_PRO, subscriptionObject } from '../../helpers/fakes/stripe-objects.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { deliver, listGrants, openCustomer, openSubscriber } from '../../helpers/subscriptions.js';

const YEARLY = 'price_1SProYearly';
const stripe = await openStripe(t);
const lines: string[] = [];
const log = { write: (line: string) => void lines.push(line) };
const environment = { ...stripe.environment, STRIPE_PRICE_PRO: `${PRICE_PRO},${YEARLY}`, LOG_LEVEL: 'warn' };
const server = await openTestServer(t, { environment, log });
const START = nowSeconds() - 10 * DAY;

type Subscriber = Awaited<ReturnType<typeof openSubscriber>>;

async function pay({ customer, subscription }: Subscriber, facts: readonly LineFacts[]) {
  const invoice = invoiceObject({ customer, subscription: subscription.id, lines: facts });
  t.equal((await deliver(server, eventObject('invoice.paid', invoice))).statusCode, 200);
}

t.test('a year that is paid grants twelve months, and half of it half as many', async (t) => {
  for (const days of [365, 366]) {
    const subscriber = await openSubscriber(server, stripe, { price: YEARLY });
    const year = { start: START, end: START + days * DAY };
    await pay(subscriber, [{ price: YEARLY, ...year }]);
    await pay(subscriber, [
      { price: YEARLY, proration: true, amount: -1, start: START + (days * DAY) / 2, end: year.end },
    ]);
    await pay(subscriber, [{ price: YEARLY, start: year.end, end: year.end + 365 * DAY }]);
    t.strictSame(await listGrants(server, subscriber.user), [60_000_000, 30_000_000]);
  }
  await server.verifyLedger(t);
});

t.test('months of every length are one month, and a week is its part of one', async (t) => {
  const subscriber = await openSubscriber(server, stripe);
  let start = START;
  for (const days of [28, 29, 30, 31]) {
    await pay(subscriber, [{ start, end: start + days * DAY }]);
    start += days * DAY;
  }
  await pay(subscriber, [{ start, end: start + 7 * DAY }]);
  t.strictSame(await listGrants(server, subscriber.user), [5_000_000, 5_000_000, 5_000_000, 5_000_000, 1_149_921]);
  await server.verifyLedger(t);
});

t.test('a quantity multiplies, and what no balance can hold is cut off', async (t) => {
  const subscriber = await openSubscriber(server, stripe);
  await pay(subscriber, [{ quantity: 3, start: START, end: START + 30 * DAY }]);
  t.strictSame(await listGrants(server, subscriber.user), [15_000_000]);
  await pay(subscriber, [{ quantity: 9_000_000_000_000, start: START + 30 * DAY, end: START + 60 * DAY }]);
  t.strictSame(await listGrants(server, subscriber.user), [15_000_000, Number.MAX_SAFE_INTEGER - 16_000_000]);
  await server.verifyLedger(t);
});

t.test('a price that no tier has is named in the log, but not those of people of somebody else', async (t) => {
  const { user, customer } = await openCustomer(server);
  const subscription = subscriptionObject({ customer, userId: user.id, price: 'price_forgotten' });
  const strange = subscriptionObject({ customer: 'cus_stranger', price: 'price_of_another_shop' });
  for (const one of [subscription, strange]) {
    await deliver(server, eventObject('customer.subscription.created', one));
    await deliver(server, eventObject('invoice.paid', createInvoice(one)));
  }
  const warnings = lines.filter((line) => line.includes('no tier has'));
  t.equal(warnings.length, 2);
  t.ok(warnings.every((line) => line.includes('price_forgotten') && line.includes('STRIPE_PRICE_PRO')));
  t.strictSame(await listGrants(server, user), []);
  await server.verifyLedger(t);
});

t.test('so is one that no event told of, when subscriptions are compared with Stripe', async (t) => {
  const { user, customer } = await openCustomer(server);
  const subscription = subscriptionObject({ customer, userId: user.id, price: 'price_never_told' });
  const strange = subscriptionObject({ customer: 'cus_stranger', price: 'price_of_another_shop' });
  for (const one of [subscription, strange]) stripe.subscriptions.set(one.id, one);
  const told: object[] = [];
  const billing = await createBilling(server.backend.database, parseStripeConfig(environment));
  t.match(await billing.reconcileWhenDue({ warn: (prices: object) => void told.push(prices) }), {
    unknownPrices: ['price_never_told'],
  });
  t.match(told, [{ prices: ['price_never_told'] }]);
  t.equal(told.length, 1);
  await server.verifyLedger(t);
});

t.end();
