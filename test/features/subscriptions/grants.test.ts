import { logInAsAdmin } from '../../helpers/admin.js';
import { createInvoice, invoiceObject, type LineFacts } from '../../helpers/fakes/stripe-invoices.js';
import { DAY, eventObject, nowSeconds, PRICE_PREMIUM, PRICE_PRO } from '../../helpers/fakes/stripe-objects.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { deliver, listGrants, openSubscriber, readSubscription } from '../../helpers/subscriptions.js';
import { recordUses } from '../../helpers/usage.js';

const stripe = await openStripe(t);
const server = await openTestServer(t, { environment: stripe.environment });
const { database } = server;
const START = nowSeconds() - 10 * DAY;
const END = START + 30 * DAY;
const PERIOD = { periodStart: START, periodEnd: END, created: START };

type Subscriber = Awaited<ReturnType<typeof openSubscriber>>;

/** An invoice is paid, and Stripe says so. */
async function pay({ customer, subscription }: Subscriber, lines: readonly LineFacts[], reason = 'subscription_cycle') {
  const invoice = invoiceObject({ customer, subscription: subscription.id, lines, reason });
  const response = await deliver(server, eventObject('invoice.paid', invoice));
  if (response.statusCode !== 200) throw new Error(`invoice.paid answered ${response.statusCode}: ${response.payload}`);
  return invoice;
}

const month = (n: number, price = PRICE_PRO) => ({ price, start: START + n * 30 * DAY, end: END + n * 30 * DAY });

t.test("each paid period grants its tier's tokens once, through the ledger", async (t) => {
  const subscriber = await openSubscriber(server, stripe, PERIOD);
  for (const n of [0, 1, 2]) await pay(subscriber, [month(n)]);
  await pay(subscriber, [month(1)]);
  t.strictSame(await listGrants(server, subscriber.user), [5_000_000, 5_000_000, 5_000_000]);
  const entries = (await subscriber.user.as('GET', '/api/users/me/ledger')).json<{ entries: object[] }>().entries;
  t.match(entries[0], { kind: 'subscription', amount: 5_000_000, provenance: 'system' });
  t.match(entries.at(-1), { kind: 'grant', amount: 1_000_000 });
  t.match((await subscriber.user.as('GET', '/api/users/me/balance')).json(), { allocated: 16_000_000 });
  await server.verifyLedger(t);
});

t.test('the same invoice by several events, and several invoices for the same period, grant once', async (t) => {
  const subscriber = await openSubscriber(server, stripe, PERIOD);
  const invoice = createInvoice(subscriber.subscription);
  const events = Array.from({ length: 20 }, () => eventObject('invoice.paid', invoice));
  const others = Array.from({ length: 20 }, () => eventObject('invoice.paid', createInvoice(subscriber.subscription)));
  const answers = await Promise.all([...events, ...others].map((event) => deliver(server, event)));
  t.ok(answers.every(({ statusCode }) => statusCode === 200));
  t.strictSame(await listGrants(server, subscriber.user), [5_000_000]);
  await server.verifyLedger(t);
});

t.test(
  'an upgrade grants the share of the difference that is paid for, in whatever order its events come',
  async (t) => {
    const at = START + 15 * DAY;
    const upgrade = [
      { price: PRICE_PRO, amount: -500, proration: true, start: at, end: END },
      { price: PRICE_PREMIUM, amount: 1_500, proration: true, start: at, end: END },
    ];
    for (const order of ['paid before the period', 'after the period']) {
      const subscriber = await openSubscriber(server, stripe, { ...PERIOD, price: PRICE_PREMIUM });
      const payments = [() => pay(subscriber, [month(0)]), () => pay(subscriber, upgrade, 'subscription_update')];
      for (const payment of order.startsWith('paid') ? payments.reverse() : payments) await payment();
      t.strictSame((await listGrants(server, subscriber.user)).sort(), [5_000_000, 7_500_000], order);
      await pay(subscriber, [month(1, PRICE_PREMIUM)]);
      t.strictSame((await listGrants(server, subscriber.user)).at(-1), 20_000_000);
    }
    await server.verifyLedger(t);
  },
);

t.test('what a downgrade credits lowers the next grants, and no grant is ever negative', async (t) => {
  const subscriber = await openSubscriber(server, stripe, { ...PERIOD, price: PRICE_PREMIUM });
  await pay(subscriber, [month(0, PRICE_PREMIUM)]);
  const at = START + 3 * DAY;
  const credit = [
    { price: PRICE_PREMIUM, amount: -2_700, proration: true, start: at, end: END },
    { price: PRICE_PRO, amount: 900, proration: true, start: at, end: END },
  ];
  // Credited: nine tenths of 15 million. The next grants make up for it.
  await pay(subscriber, [...credit, month(1)]);
  await pay(subscriber, [month(2)]);
  await pay(subscriber, [month(3)]);
  t.strictSame(await listGrants(server, subscriber.user), [20_000_000, 1_500_000]);
  const rows = await database.sql(
    'select net_tokens::integer as net, granted_tokens::integer as granted from subscription_grants where user_id = $1 order by period_start',
    [subscriber.user.id],
  );
  t.strictSame(rows, [
    { net: 20_000_000, granted: 20_000_000 },
    { net: -8_500_000, granted: 0 },
    { net: 5_000_000, granted: 0 },
    { net: 5_000_000, granted: 1_500_000 },
  ]);
  await server.verifyLedger(t);
});

t.test('up and down again within a period gains nothing', async (t) => {
  const subscriber = await openSubscriber(server, stripe, PERIOD);
  await pay(subscriber, [month(0)]);
  const at = START + DAY;
  const prorated = { proration: true, start: at, end: END };
  await pay(subscriber, [
    { price: PRICE_PRO, amount: -967, ...prorated },
    { price: PRICE_PREMIUM, amount: 2_900, ...prorated },
  ]);
  await pay(subscriber, [
    { price: PRICE_PREMIUM, amount: -2_900, ...prorated },
    { price: PRICE_PRO, amount: 967, ...prorated },
    month(1),
  ]);
  for (const n of [2, 3]) await pay(subscriber, [month(n)]);
  const total = (await listGrants(server, subscriber.user)).reduce((sum, tokens) => sum + tokens, 0);
  t.equal(total, 4 * 5_000_000, 'what four months are worth');
  await server.verifyLedger(t);
});

t.test('a trial, and prices of something else, grant nothing; a discount does not lower a grant', async (t) => {
  const subscriber = await openSubscriber(server, stripe, { ...PERIOD, status: 'trialing' });
  await pay(subscriber, [{ ...month(0), amount: 0 }], 'subscription_create');
  await pay(subscriber, [{ ...month(1), price: 'price_of_something_else' }]);
  t.strictSame(await listGrants(server, subscriber.user), []);
  t.match(await readSubscription(subscriber.user), { tier: 'pro', status: 'trialing' });
  const invoice = invoiceObject({ ...subscriber, subscription: subscriber.subscription.id, lines: [month(1)] });
  await deliver(server, eventObject('invoice.paid', { ...invoice, total: 0, amount_paid: 0 }));
  t.strictSame(await listGrants(server, subscriber.user), [5_000_000]);
  await server.verifyLedger(t);
});

t.test('an invoice of more lines than an event lists is read to its end', async (t) => {
  const subscriber = await openSubscriber(server, stripe, PERIOD);
  const extras = Array.from({ length: 130 }, (_, n) => ({ price: 'price_extra', start: START + n, end: END }));
  const lines = [...extras, month(0)];
  const invoice = invoiceObject({ customer: subscriber.customer, subscription: subscriber.subscription.id, lines });
  const cut = { ...invoice, lines: { ...invoice.lines, data: invoice.lines.data.slice(0, 10), has_more: true } };
  stripe.invoices.set(invoice.id, invoice);
  stripe.failOnce('GET', `/v1/invoices/${invoice.id}`, [200, cut]);
  t.equal((await deliver(server, eventObject('invoice.paid', cut))).statusCode, 200);
  t.strictSame(await listGrants(server, subscriber.user), [5_000_000]);
  await server.verifyLedger(t);
});

t.test('a plan that is edited is worth its new tokens from the next invoice on', async (t) => {
  const subscriber = await openSubscriber(server, stripe, PERIOD);
  const setTokens = (tokens: number) =>
    database.sql(`update plans set monthly_tokens = $1 where tier = 'pro'`, [tokens]);
  await setTokens(0);
  const free = await pay(subscriber, [month(0)]);
  await setTokens(7_000);
  t.equal((await deliver(server, eventObject('invoice.paid', free))).statusCode, 200);
  await pay(subscriber, [month(1)]);
  await setTokens(5_000_000);
  t.strictSame(await listGrants(server, subscriber.user), [7_000]);
  await server.verifyLedger(t);
});

t.test('a pool that is too small loses no paid period; it goes over, and gives nothing to others', async (t) => {
  const admin = await logInAsAdmin(server);
  const subscriber = await openSubscriber(server, stripe, PERIOD);
  await admin.as('PUT', '/api/admin/budget', { subject_kind: 'user', total: 1_000 });
  await pay(subscriber, [month(0)]);
  t.strictSame(await listGrants(server, subscriber.user), [5_000_000]);
  const refused = await admin.as('POST', '/api/admin/allocate', { user_id: subscriber.user.id, tokens: 1 });
  t.match(refused.json(), { code: 'BUDGET_EXCEEDED', remaining: 0 });
  await admin.as('PUT', '/api/admin/budget', { subject_kind: 'user', total: null });
  await server.verifyLedger(t);
});

t.test('a balance that can hold no more takes what it can, so that the event is not sent for ever', async (t) => {
  const subscriber = await openSubscriber(server, stripe, PERIOD);
  await database.sql(`update plans set monthly_tokens = 1000000000000 where tier = 'pro'`);
  t.teardown(() => database.sql(`update plans set monthly_tokens = 5000000 where tier = 'pro'`));
  const admin = await logInAsAdmin(server);
  const most = Number.MAX_SAFE_INTEGER - 1_000_000 - 300;
  for (let left = most; left > 0; left -= 1_000_000_000_000_000) {
    const tokens = Math.min(left, 1_000_000_000_000_000);
    await admin.as('POST', '/api/admin/allocate', { user_id: subscriber.user.id, tokens });
  }
  await pay(subscriber, [month(0)]);
  t.strictSame(await listGrants(server, subscriber.user), [300]);
  await pay(subscriber, [month(1)]);
  t.strictSame(await listGrants(server, subscriber.user), [300]);
  await server.verifyLedger(t);
});

t.test('the usage beside a subscription counts from the very start of its period', async (t) => {
  const periodStart = Math.floor(nowSeconds() / 900) * 900 - 5 * DAY + 400;
  const subscriber = await openSubscriber(server, stripe, { periodStart, created: periodStart });
  await pay(subscriber, [{ start: periodStart, end: periodStart + 30 * DAY }]);
  const own = { subject: subscriber.user.id, user: subscriber.user.id, source: 'chat' as const };
  const at = (seconds: number) => new Date((periodStart + seconds) * 1000).toISOString();
  await recordUses(database, { ...own, count: 1, cost: 1_000, at: at(-1) });
  await recordUses(database, { ...own, count: 1, cost: 200, at: at(0) });
  await recordUses(database, { ...own, count: 1, cost: 30, at: at(600) });
  await recordUses(database, { ...own, count: 2, cost: 2, at: at(DAY) });
  await recordUses(database, { ...own, source: 'extension', count: 5, at: at(DAY) });
  const { usage } = await readSubscription(subscriber.user);
  t.strictSame(usage, {
    since: new Date(periodStart * 1000).toISOString().replace('.000Z', '+00:00'),
    monthly_tokens: 5_000_000,
    tokens_granted: 5_000_000,
    tokens_owed: 0,
    tokens_used: 234,
    tokens_left: 6_000_000 - 1_234,
    devices: 0,
    device_limit: 25,
  });
  await server.verifyLedger(t);
});

t.end();
