import t from 'tap';
import { startBackgroundJobs } from '../../../src/background-jobs.js';
import { readConfig } from '../../../src/config/config.js';
import { createLogger } from '../../../src/platform/logging.js';
import { invoiceOf } from '../../helpers/fakes/stripe-invoices.js';
import {
  DAY,
  eventObject,
  nowSeconds,
  PRICE_PREMIUM,
  type SubscriptionFacts,
  subscriptionObject,
} from '../../helpers/fakes/stripe-objects.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { checksumsOf } from '../../helpers/http/bad-input.js';
import { runScript } from '../../helpers/http/run-script.js';
import { openTestServer, testEnvironment } from '../../helpers/http/test-server.js';
import { deliver, grantsOf, openCustomer, openSubscriber, subscriptionOf } from '../../helpers/subscriptions.js';
import { untilTrue } from '../../helpers/until.js';

const stripe = await openStripe(t);
const server = await openTestServer(t, { environment: stripe.environment });
const { database } = server;
const environment: Record<string, string> = {
  ...testEnvironment(database, stripe.environment),
  DATABASE_URL: database.adminUrl,
};

async function sync(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runScript(t, 'stripe-sync', args, environment);
  t.equal(code, 0, stderr);
  return stdout;
}

/** Puts a paid subscription of a person at Stripe, of which nobody tells. */
async function subscribeUnheard(facts: Partial<SubscriptionFacts> = {}) {
  const { user, customer } = await openCustomer(server);
  const subscription = subscriptionObject({ customer, userId: user.id, ...facts });
  const invoice = invoiceOf(subscription);
  stripe.subscriptions.set(subscription.id, subscription);
  stripe.invoices.set(invoice.id, invoice);
  return { user, customer, subscription, invoice };
}

t.test('what webhooks did not tell is made up for, and a second time changes nothing', async (t) => {
  const unheard = await subscribeUnheard();
  const changed = await openSubscriber(server, stripe);
  const facts = { customer: changed.customer, created: changed.subscription.created };
  const upgraded = subscriptionObject({ id: changed.subscription.id, ...facts, price: PRICE_PREMIUM });
  stripe.subscriptions.set(upgraded.id, upgraded);
  const ended = await openSubscriber(server, stripe);
  stripe.subscriptions.set(ended.subscription.id, { ...ended.subscription, status: 'canceled' });
  // Of these nobody is here.
  const stranger = subscriptionObject({ customer: 'cus_stranger' });
  stripe.subscriptions.set(stranger.id, stranger);
  const strangers = invoiceOf(stranger);
  stripe.invoices.set(strangers.id, strangers);

  t.match(await sync(), /^4 subscriptions, 3 of them changed; 2 paid invoices, 1 of them granted now\n$/);
  t.match(await subscriptionOf(unheard.user), { tier: 'pro', status: 'active', usage: { tokens_granted: 5_000_000 } });
  t.match(await subscriptionOf(changed.user), { tier: 'premium' });
  t.match(await subscriptionOf(ended.user), { tier: 'free', status: 'canceled' });

  const before = await checksumsOf(database);
  t.match(await sync('--days', '400'), /, 0 of them changed; 2 paid invoices, 0 of them granted now\n$/);
  t.strictSame(await checksumsOf(database), before);
  await server.verifyLedger(t);
});

t.test('events that come after all change nothing any more', async (t) => {
  const { user, subscription, invoice } = await subscribeUnheard();
  const ended = { ...subscription, status: 'canceled' };
  stripe.subscriptions.set(subscription.id, ended);
  const old = nowSeconds() - DAY;
  await deliver(server, eventObject('customer.subscription.created', subscription, { created: old }));
  await sync();
  t.match(await subscriptionOf(user), { tier: 'free', status: 'canceled' });
  for (const event of [
    eventObject('customer.subscription.updated', subscription, { created: old + 100 }),
    eventObject('invoice.paid', invoice),
    eventObject('customer.subscription.deleted', ended, { created: old + 200 }),
  ]) {
    t.equal((await deliver(server, event)).statusCode, 200);
  }
  t.match(await subscriptionOf(user), { tier: 'free', status: 'canceled' });
  t.strictSame(await grantsOf(server, user), [5_000_000]);
  await server.verifyLedger(t);
});

t.test("every page is read, of Stripe's lists and of what runs here", async (t) => {
  const { user, customer } = await openCustomer(server);
  const mine = subscriptionObject({ customer, userId: user.id });
  const strangers = Array.from({ length: 230 }, () => subscriptionObject({ customer: 'cus_stranger' }));
  for (const one of [...strangers, mine]) {
    stripe.subscriptions.set(one.id, one);
    const invoice = invoiceOf(one);
    stripe.invoices.set(invoice.id, invoice);
  }
  await sync();
  t.match(await subscriptionOf(user), { tier: 'pro', usage: { tokens_granted: 5_000_000 } });
  for (const { id } of [...strangers, mine]) stripe.subscriptions.delete(id);
  await sync();
  t.match(await subscriptionOf(user), { tier: 'pro' }, 'one Stripe does not know has not ended');
});

t.test('deliveries and comparisons at once grant once', async (t) => {
  const { user, subscription, invoice } = await subscribeUnheard();
  const work = Array.from({ length: 4 }, () => [
    sync(),
    deliver(server, eventObject('invoice.paid', invoice)),
    deliver(server, eventObject('customer.subscription.created', subscription)),
  ]);
  await Promise.all(work.flat());
  t.strictSame(await grantsOf(server, user), [5_000_000]);
  t.match(await subscriptionOf(user), { tier: 'pro' });
  await server.verifyLedger(t);
});

t.test('servers compare by themselves, once an hour among them, and old events are forgotten', async (t) => {
  const { user } = await subscribeUnheard();
  const config = readConfig(environment);
  await database.sql(
    `insert into private.stripe_events (id, type, created_at, received_at)
     values ('evt_old', 'invoice.paid', now(), now() - interval '91 days')`,
  );
  const lists = () => stripe.requestsFor('GET', '/v1/subscriptions').length;
  const before = lists();
  const stops = [1, 2, 3].map(() => startBackgroundJobs(server.backend.database, config, createLogger('silent')));
  await untilTrue(async () => (await subscriptionOf(user)).tier === 'pro');
  for (const stop of stops) stop();
  const pages = lists() - before;
  t.ok(pages >= 1);
  t.strictSame(await database.sql(`select from private.stripe_events where id = 'evt_old'`), []);

  const { data: again } = await server.backend.database.rpc('begin_stripe_sync', { p_minutes: 60 });
  t.equal(again, false);
  await database.sql(`update private.stripe_syncs set started_at = now() - interval '61 minutes'`);
  const { data: due } = await server.backend.database.rpc('begin_stripe_sync', { p_minutes: 60 });
  t.equal(due, true);
  await server.verifyLedger(t);
});

t.test('the command says what is missing, and that Stripe does not answer', async (t) => {
  const { STRIPE_SECRET_KEY: _key, ...keyless } = environment;
  for (const [args, variables, sentence] of [
    [[], keyless, /^STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET are not set\n$/],
    [['--days'], environment, /^Usage: npm run stripe:sync/],
    [['--days', '0'], environment, /^Usage/],
    [['now'], environment, /^Usage/],
    [[], { ...environment, STRIPE_API_BASE: 'http://127.0.0.1:9' }, /Temporarily unavailable/],
  ] as const) {
    const { code, stderr } = await runScript(t, 'stripe-sync', args, variables);
    t.equal(code, 1);
    t.match(stderr, sentence);
  }
});

t.end();
