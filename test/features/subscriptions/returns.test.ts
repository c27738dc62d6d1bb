import { createInvoice, type InvoiceObject } from '../../helpers/fakes/stripe-invoices.js';
import { DAY, eventObject, nowSeconds, PRICE_PREMIUM } from '../../helpers/fakes/stripe-objects.js';
import {
  chargeObject,
  creditNoteObject,
  type DisputeObject,
  disputeObject,
  refundObject,
} from '../../helpers/fakes/stripe-returns.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { deliver, listGrants, openSubscriber, readSubscription } from '../../helpers/subscriptions.js';
import { recordUses } from '../../helpers/usage.js';

const stripe = await openStripe(t);
const server = await openTestServer(t, { environment: stripe.environment });
const { database } = server;
const DAYS_AGO = nowSeconds() - 10 * DAY;
const PERIOD = { periodStart: DAYS_AGO, created: DAYS_AGO };

type Subscriber = Awaited<ReturnType<typeof openSubscriber>>;

async function send(t: Test, type: string, object: object) {
  const event = eventObject(type, object);
  t.equal((await deliver(server, event)).statusCode, 200, type);
  return event;
}

/** A month of premium for 20.00, paid. */
async function openPaid(t: Test): Promise<Subscriber & { invoice: InvoiceObject }> {
  const subscriber = await openSubscriber(server, stripe, { ...PERIOD, price: PRICE_PREMIUM });
  const invoice = { ...createInvoice(subscriber.subscription), amount_paid: 2_000, total: 2_000 };
  stripe.invoices.set(invoice.id, invoice);
  await send(t, 'invoice.paid', invoice);
  return { ...subscriber, invoice };
}

async function refund(t: Test, invoice: InvoiceObject, amount: number) {
  const made = refundObject(invoice, amount);
  stripe.refunds.set(made.id, made);
  await send(t, 'charge.refunded', chargeObject(invoice, amount));
  return made;
}

async function dispute(t: Test, invoice: InvoiceObject, amount = 2_000) {
  const made = disputeObject(invoice, amount);
  stripe.disputes.set(made.id, made);
  await send(t, 'charge.dispute.created', made);
  return made;
}

async function close(t: Test, made: DisputeObject, status: string) {
  stripe.disputes.set(made.id, { ...made, status });
  await send(t, 'charge.dispute.closed', { ...made, status });
}

const spend = ({ user }: Subscriber, cost: number) =>
  recordUses(database, {
    subject: user.id,
    user: user.id,
    source: 'chat',
    count: 1,
    cost,
    at: new Date().toISOString(),
  });

const readAudit = ({ user }: Subscriber) =>
  database.sql<{ action: string; actor: string; after: object }>(
    'select action, actor, after from audit_log where target = $1 order by id',
    [`user:${user.id}`],
  );

t.test('a full refund takes the tokens back and ends the tier, with an audit entry', async (t) => {
  const paid = await openPaid(t);
  await refund(t, paid.invoice, 2_000);
  t.strictSame(await listGrants(server, paid.user), [20_000_000, -20_000_000]);
  t.match(await readSubscription(paid.user), {
    tier: 'free',
    status: 'active',
    subscribed_tier: 'premium',
    usage: { tokens_left: 1_000_000, tokens_owed: 0 },
  });
  t.match(await readAudit(paid), [
    {
      action: 'payment_returned',
      actor: 'system:stripe',
      after: { tier: 'free', invoice: paid.invoice.id, returned_tokens: 20_000_000, taken_tokens: 20_000_000 },
    },
  ]);
  await server.verifyLedger(t);
});

t.test('a refund of a part takes that part and leaves the tier; each event of it counts once', async (t) => {
  const paid = await openPaid(t);
  const made = await refund(t, paid.invoice, 500);
  for (const type of ['refund.created', 'refund.updated', 'charge.refunded']) await send(t, type, made);
  t.strictSame(await listGrants(server, paid.user), [20_000_000, -5_000_000]);
  t.match(await readSubscription(paid.user), { tier: 'premium' });
  stripe.refunds.set(made.id, { ...made, status: 'failed' });
  await send(t, 'refund.failed', { ...made, status: 'failed' });
  t.strictSame(await listGrants(server, paid.user), [20_000_000, -5_000_000, 5_000_000]);
  await server.verifyLedger(t);
});

t.test('what is spent is never taken: it is owed, and the next paid invoice makes up for it', async (t) => {
  const paid = await openPaid(t);
  await spend(paid, 15_000_000);
  await refund(t, paid.invoice, 2_000);
  t.match(await readSubscription(paid.user), { usage: { tokens_left: 0, tokens_owed: 14_000_000 } });
  const next = await openPaidAgain(t, paid);
  t.match(await readSubscription(paid.user), { tier: 'premium', usage: { tokens_left: 6_000_000, tokens_owed: 0 } });
  t.ok(next.id);
  await server.verifyLedger(t);
});

/** The next month is paid. */
async function openPaidAgain(t: Test, { subscription, user, customer }: Subscriber) {
  const [item] = subscription.items.data;
  const start = item?.current_period_end ?? 0;
  const renewed = {
    ...subscription,
    items: {
      ...subscription.items,
      data: subscription.items.data.map((one) => ({
        ...one,
        current_period_start: start,
        current_period_end: start + 30 * DAY,
      })),
    },
  };
  const invoice = { ...createInvoice(renewed), customer, amount_paid: 2_000, total: 2_000 };
  stripe.invoices.set(invoice.id, invoice);
  // The refunded period is over.
  await database.sql(`update subscription_grants set period_end = now() where user_id = $1`, [user.id]);
  await send(t, 'invoice.paid', invoice);
  return invoice;
}

t.test('with PAYMENT_RETURNS=forgiven what is spent is written down instead', async (t) => {
  const environment = { ...stripe.environment, PAYMENT_RETURNS: 'forgiven' };
  const lenient = await openTestServer(t, { environment, database });
  const paid = await openPaid(t);
  await spend(paid, 15_000_000);
  const made = refundObject(paid.invoice, 2_000);
  stripe.refunds.set(made.id, made);
  t.equal((await deliver(lenient, eventObject('refund.created', made))).statusCode, 200);
  t.match(await readSubscription(paid.user), { tier: 'free', usage: { tokens_left: 0, tokens_owed: 0 } });
  await openPaidAgain(t, paid);
  t.match(await readSubscription(paid.user), { usage: { tokens_left: 20_000_000 } });
  await server.verifyLedger(t);
});

t.test(
  'a dispute takes tokens and tier; won, it gives both back, lost, it does not; an inquiry does nothing',
  async (t) => {
    for (const [status, tier, left] of [
      ['won', 'premium', 6_000_000],
      ['lost', 'free', 0],
    ] as const) {
      const paid = await openPaid(t);
      await spend(paid, 15_000_000);
      const made = await dispute(t, paid.invoice);
      t.match(await readSubscription(paid.user), { tier: 'free', usage: { tokens_left: 0, tokens_owed: 14_000_000 } });
      await close(t, made, status);
      t.match(await readSubscription(paid.user), { tier, usage: { tokens_left: left } });
      const actions = (await readAudit(paid)).map(({ action }) => action);
      t.strictSame(actions, status === 'won' ? ['payment_returned', 'payment_restored'] : ['payment_returned']);
    }
    const asked = await openPaid(t);
    const inquiry = disputeObject(asked.invoice, 2_000, 'warning_needs_response');
    stripe.disputes.set(inquiry.id, inquiry);
    await send(t, 'charge.dispute.created', inquiry);
    t.match(await readSubscription(asked.user), { tier: 'premium', usage: { tokens_left: 21_000_000 } });
    await server.verifyLedger(t);
  },
);

t.test('a credit note takes what it credits, and what it refunds only once', async (t) => {
  const paid = await openPaid(t);
  const made = await refund(t, paid.invoice, 500);
  const note = creditNoteObject(paid.invoice, 1_500, made);
  stripe.creditNotes.set(note.id, note);
  stripe.invoices.set(paid.invoice.id, { ...paid.invoice, post_payment_credit_notes_amount: 1_500 });
  await send(t, 'credit_note.created', note);
  t.match(await readSubscription(paid.user), { usage: { tokens_left: 6_000_000 } });
  stripe.creditNotes.set(note.id, { ...note, status: 'void' });
  stripe.invoices.set(paid.invoice.id, { ...paid.invoice, post_payment_credit_notes_amount: 0 });
  await send(t, 'credit_note.voided', note);
  t.match(await readSubscription(paid.user), { usage: { tokens_left: 16_000_000 } });
  await server.verifyLedger(t);
});

t.test('money that went back before its invoice was heard of grants nothing', async (t) => {
  const subscriber = await openSubscriber(server, stripe, { ...PERIOD, price: PRICE_PREMIUM });
  const invoice = { ...createInvoice(subscriber.subscription), amount_paid: 2_000, total: 2_000 };
  stripe.invoices.set(invoice.id, invoice);
  await refund(t, invoice, 2_000);
  await send(t, 'invoice.paid', invoice);
  t.match(await readSubscription(subscriber.user), { tier: 'free', usage: { tokens_left: 1_000_000 } });
  await server.verifyLedger(t);
});

t.test('parallel events about the same money take it once, and strangers are ignored', async (t) => {
  const paid = await openPaid(t);
  const made = refundObject(paid.invoice, 1_000);
  stripe.refunds.set(made.id, made);
  const events = Array.from({ length: 20 }, (_, n) => eventObject(n % 2 ? 'refund.created' : 'refund.updated', made));
  const answers = await Promise.all(events.map((event) => deliver(server, event)));
  t.ok(answers.every(({ statusCode }) => statusCode === 200));
  t.strictSame(await listGrants(server, paid.user), [20_000_000, -10_000_000]);
  const stranger = { ...createInvoice(paid.subscription), customer: 'cus_stranger' };
  stripe.invoices.set(stranger.id, stranger);
  await refund(t, stranger, 1_000);
  await send(t, 'charge.refunded', { id: 'ch_other', object: 'charge', payment_intent: null });
  t.strictSame(await listGrants(server, paid.user), [20_000_000, -10_000_000]);
  await server.verifyLedger(t);
});

t.end();
