import { startBackgroundJobs } from '../../../src/background-jobs.js';
import { parseConfig } from '../../../src/config/config.js';
import { createBilling } from '../../../src/features/subscriptions/billing.js';
import { AnyResult } from '../../../src/platform/database/client/database.js';
import { createLogger } from '../../../src/platform/logging.js';
import { accountLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { createInvoice } from '../../helpers/fakes/stripe-invoices.js';
import {
  DAY,
  eventObject,
  nowSeconds,
  PRICE_PREMIUM,
  type SubscriptionFacts,
  subscriptionObject,
} from '../../helpers/fakes/stripe-objects.js';
import { refundObject } from '../../helpers/fakes/stripe-returns.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { readChecksums } from '../../helpers/http/bad-input.js';
import { runScript } from '../../helpers/http/run-script.js';
import { openTestServer, testEnvironment } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { deliver, listGrants, openCustomer, openSubscriber, readSubscription } from '../../helpers/subscriptions.js';
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

/** Gives a person a paid subscription at Stripe without delivering any event. */
async function subscribeUnheard(facts: Partial<SubscriptionFacts> = {}) {
  const { user, customer } = await openCustomer(server);
  const subscription = subscriptionObject({ customer, userId: user.id, ...facts });
  const invoice = createInvoice(subscription);
  stripe.subscriptions.set(subscription.id, subscription);
  stripe.invoices.set(invoice.id, invoice);
  return { user, customer, subscription, invoice };
}

t.test('reconciling makes up for lost webhooks, and repeating it changes nothing', async (t) => {
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
  const strangers = createInvoice(stranger);
  stripe.invoices.set(strangers.id, strangers);

  t.match(
    await sync(),
    /^4 subscriptions, 3 of them changed; 2 paid invoices, 1 of them granted now; 0 whose money went or came back\n$/,
  );
  t.match(await readSubscription(unheard.user), {
    tier: 'pro',
    status: 'active',
    usage: { tokens_granted: 5_000_000 },
  });
  t.match(await readSubscription(changed.user), { tier: 'premium' });
  t.match(await readSubscription(ended.user), { tier: 'free', status: 'canceled' });

  const before = await readChecksums(database);
  t.match(
    await sync('--days', '400'),
    /, 0 of them changed; 2 paid invoices, 0 of them granted now; 0 whose money went or came back\n$/,
  );
  t.strictSame(await readChecksums(database), before);
  await server.verifyLedger(t);
});

t.test('reconciling takes back what was refunded unheard', async (t) => {
  const { user, invoice } = await subscribeUnheard();
  const refund = refundObject(invoice, invoice.amount_paid);
  stripe.refunds.set(refund.id, refund);
  t.match(await sync(), /; 1 whose money went or came back\n$/);
  t.match(await readSubscription(user), { tier: 'free', status: 'active', usage: { tokens_left: 1_000_000 } });
  t.match(await sync(), /; 0 whose money went or came back\n$/);
  stripe.refunds.clear();
  await server.verifyLedger(t);
});

t.test('events that arrive after all change nothing', async (t) => {
  const { user, subscription, invoice } = await subscribeUnheard();
  const ended = { ...subscription, status: 'canceled' };
  stripe.subscriptions.set(subscription.id, ended);
  const old = nowSeconds() - DAY;
  await deliver(server, eventObject('customer.subscription.created', subscription, { created: old }));
  await sync();
  t.match(await readSubscription(user), { tier: 'free', status: 'canceled' });
  for (const event of [
    eventObject('customer.subscription.updated', subscription, { created: old + 100 }),
    eventObject('invoice.paid', invoice),
    eventObject('customer.subscription.deleted', ended, { created: old + 200 }),
  ]) {
    t.equal((await deliver(server, event)).statusCode, 200);
  }
  t.match(await readSubscription(user), { tier: 'free', status: 'canceled' });
  t.strictSame(await listGrants(server, user), [5_000_000]);
  await server.verifyLedger(t);
});

t.test("every page is read, of Stripe's lists and of running subscriptions here", async (t) => {
  const { user, customer } = await openCustomer(server);
  const mine = subscriptionObject({ customer, userId: user.id });
  const strangers = Array.from({ length: 230 }, () => subscriptionObject({ customer: 'cus_stranger' }));
  for (const one of [...strangers, mine]) {
    stripe.subscriptions.set(one.id, one);
    const invoice = createInvoice(one);
    stripe.invoices.set(invoice.id, invoice);
  }
  await sync();
  t.match(await readSubscription(user), { tier: 'pro', usage: { tokens_granted: 5_000_000 } });
  for (const { id } of [...strangers, mine]) stripe.subscriptions.delete(id);
  await sync();
  t.match(await readSubscription(user), { tier: 'pro' }, 'one Stripe does not know has not ended');
});

t.test('concurrent deliveries and comparisons grant once', async (t) => {
  const { user, subscription, invoice } = await subscribeUnheard();
  const begin = () =>
    Promise.all([
      sync(),
      deliver(server, eventObject('invoice.paid', invoice)),
      deliver(server, eventObject('customer.subscription.created', subscription)),
    ]);
  await meetAtLock(database, accountLock(user.id, 3), () => Promise.all(Array.from({ length: 4 }, begin)));
  t.strictSame(await listGrants(server, user), [5_000_000]);
  t.match(await readSubscription(user), { tier: 'pro' });
  await server.verifyLedger(t);
});

t.test('servers compare on their own, once an hour among them, and forget old events', async (t) => {
  const { user } = await subscribeUnheard();
  const config = parseConfig(environment);
  await database.sql(
    `insert into private.stripe_events (id, type, created_at, received_at)
     values ('evt_old', 'invoice.paid', now(), now() - interval '91 days')`,
  );
  const lists = () => stripe.requestsFor('GET', '/v1/subscriptions').length;
  const before = lists();
  const stops = await Promise.all(
    [1, 2, 3].map(() => startBackgroundJobs(server.backend.database, config, createLogger('silent'))),
  );
  await untilTrue(async () => (await readSubscription(user)).tier === 'pro');
  for (const stop of stops) stop();
  const pages = lists() - before;
  t.ok(pages >= 1);
  t.strictSame(await database.sql(`select from private.stripe_events where id = 'evt_old'`), []);

  const again = await server.backend.database.call('begin_stripe_sync', { p_minutes: 60 }, AnyResult);
  t.equal(again, false);
  await database.sql(`update private.stripe_syncs set started_at = now() - interval '61 minutes'`);
  const due = await server.backend.database.call('begin_stripe_sync', { p_minutes: 60 }, AnyResult);
  t.equal(due, true);

  stripe.setTrouble(500);
  await database.sql(`update private.stripe_syncs set started_at = now() - interval '61 minutes'`);
  const { reconcileWhenDue } = await createBilling(server.backend.database, config.stripe);
  await t.rejects(reconcileWhenDue(server.app.log), { code: 'SERVICE_UNAVAILABLE' });
  stripe.setTrouble(undefined);
  t.equal(await reconcileWhenDue(server.app.log), undefined, 'not at once');
  await database.sql(`update private.stripe_syncs set started_at = started_at - interval '6 minutes'`);
  t.match(await reconcileWhenDue(server.app.log), { granted: 0 }, 'but soon');

  const asked = () => stripe.requestsFor('GET', '/v1/credit_notes').length;
  const askedBefore = asked();
  stripe.failOnce('GET', '/v1/refunds', [400, { error: { type: 'invalid_request_error', message: 'No' } }]);
  await database.sql(`update private.stripe_syncs set started_at = now() - interval '61 minutes'`);
  await t.rejects(reconcileWhenDue(server.app.log));
  t.equal(asked(), askedBefore, 'what nobody waits for is not asked for, so that nothing fails unheard');
  await server.verifyLedger(t);
});

t.test('the command reports a missing configuration, and an unreachable Stripe', async (t) => {
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
