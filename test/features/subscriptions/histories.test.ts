import { type InvoiceObject, invoiceObject, type LineFacts } from '../../helpers/fakes/stripe-invoices.js';
import {
  DAY,
  type EventObject,
  eventObject,
  nowSeconds,
  PRICE_PREMIUM,
  PRICE_PRO,
  stripeId,
  subscriptionObject,
} from '../../helpers/fakes/stripe-objects.js';
import { creditNoteObject, disputeObject, refundObject } from '../../helpers/fakes/stripe-returns.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { deliver, openCustomer } from '../../helpers/subscriptions.js';
import { recordUses } from '../../helpers/usage.js';

const stripe = await openStripe(t);
const server = await openTestServer(t, { environment: stripe.environment });
const { database } = server;
const MONTH = 30 * DAY;
const START = nowSeconds() - 12 * MONTH;
/** Prices in cents, at 10,000 tokens a cent. */
const CENTS = { [PRICE_PRO]: 500, [PRICE_PREMIUM]: 2_000 };
const TOKENS_PER_CENT = 10_000;
type Price = keyof typeof CENTS;

/** Creates numbers from 0 to n - 1 that are the same for the same seed. */
function createRandom(seed: number) {
  let state = seed;
  return (n: number) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % n;
  };
}

/** A customer as Stripe keeps them: credit, invoices, and the money that came and went, in cents. */
async function openHistory(seed: number) {
  const random = createRandom(seed);
  const { user, customer } = await openCustomer(server);
  const money = { charged: 0, back: 0, credit: 0 };
  let month = 0;
  let price: Price = PRICE_PRO;
  let subscription = stripeId('sub');
  let pending: LineFacts[] = [];
  const paid: { invoice: InvoiceObject; charged: number; back: number }[] = [];
  const events: EventObject[] = [];

  const tell = (type: string, object: object) => {
    const event = eventObject(type, object);
    // Some events come twice.
    events.push(...(random(4) === 0 ? [event, event] : [event]));
  };
  const bill = (lines: LineFacts[]) => {
    const invoice = invoiceObject({ customer, subscription, lines });
    const fromCredit = Math.min(Math.max(invoice.total, 0), money.credit);
    const charged = Math.max(invoice.total, 0) - fromCredit;
    money.credit += Math.max(-invoice.total, 0) - fromCredit;
    money.charged += charged;
    const made = { ...invoice, amount_paid: charged };
    stripe.invoices.set(made.id, made);
    paid.push({ invoice: made, charged, back: 0 });
    tell('invoice.paid', made);
  };
  const renew = () => {
    month += 1;
    const start = START + month * MONTH;
    const lines = [...pending, { price, amount: CENTS[price], start, end: start + MONTH }];
    pending = [];
    bill(lines);
  };
  const change = async (to: Price) => {
    if (to === price || month === 0) return;
    // Without the invoice of its period, a share is one of a calendar month.
    await listen();
    // Tenths of a month, so that shares are whole cents.
    const left = 1 + random(9);
    const end = START + (month + 1) * MONTH;
    const part = { proration: true, start: end - (left * MONTH) / 10, end };
    const lines = [
      { ...part, price, amount: (-CENTS[price] * left) / 10 },
      { ...part, price: to, amount: (CENTS[to] * left) / 10 },
    ];
    price = to;
    if (to === PRICE_PREMIUM) bill(lines);
    else pending.push(...lines);
  };
  const pick = () => paid[random(paid.length)];
  const refund = () => {
    const one = pick();
    if (one === undefined || one.charged === one.back) return;
    const amount = 1 + random(one.charged - one.back);
    one.back += amount;
    money.back += amount;
    const made = refundObject(one.invoice, amount);
    stripe.refunds.set(made.id, made);
    tell('refund.created', made);
  };
  const dispute = () => {
    const one = pick();
    if (one === undefined || one.charged === 0 || one.back > 0) return;
    const made = disputeObject(one.invoice, one.charged);
    stripe.disputes.set(made.id, made);
    tell('charge.dispute.created', made);
    if (random(2) === 0) {
      stripe.disputes.set(made.id, { ...made, status: 'won' });
      tell('charge.dispute.closed', { ...made, status: 'won' });
    } else {
      one.back = one.charged;
      money.back += one.charged;
    }
  };
  const credit = () => {
    const one = pick();
    if (one === undefined || one.charged === one.back) return;
    const amount = 1 + random(one.charged - one.back);
    one.back += amount;
    money.credit += amount;
    const note = creditNoteObject(one.invoice, amount);
    stripe.creditNotes.set(note.id, note);
    const listed = stripe.invoices.get(one.invoice.id) ?? one.invoice;
    stripe.invoices.set(listed.id, {
      ...listed,
      post_payment_credit_notes_amount: listed.post_payment_credit_notes_amount + amount,
    });
    tell('credit_note.created', note);
  };
  const resubscribe = () => {
    if (month === 0) return;
    // What is prorated but not billed yet ends with the subscription.
    bill(pending);
    pending = [];
    const ended = subscriptionObject({ id: subscription, customer, status: 'canceled' });
    stripe.subscriptions.set(ended.id, ended);
    tell('customer.subscription.deleted', ended);
    subscription = stripeId('sub');
    price = random(2) === 0 ? PRICE_PRO : PRICE_PREMIUM;
    month += 1;
    renew();
  };
  const spend = async () => {
    const [balance] = await database.sql<{ left: number }>(
      'select (allocated - used - reserved)::float8 as left from balances where subject_id = $1',
      [user.id],
    );
    const cost = random(Math.min(balance?.left ?? 0, 15_000_000) + 1);
    const use = { subject: user.id, user: user.id, source: 'chat' as const, count: 1, cost };
    if (cost > 0) await recordUses(database, { ...use, at: new Date().toISOString() });
  };

  /** Delivers what Stripe has to say, in any order. */
  const listen = async () => {
    while (events.length > 0) {
      for (const event of events.splice(random(events.length), 1)) {
        const response = await deliver(server, event);
        if (response.statusCode !== 200) throw new Error(response.payload);
      }
    }
  };
  const acts = [
    renew,
    renew,
    () => change(PRICE_PREMIUM),
    () => change(PRICE_PRO),
    refund,
    dispute,
    credit,
    resubscribe,
  ];
  const act = async () => {
    await acts[random(acts.length)]?.();
    if (random(3) === 0) await spend();
    if (random(2) === 0) await listen();
  };
  return { user, money, act, listen };
}

t.test('whatever happens in whatever order, tokens granted are what the money that was kept is worth', async (t) => {
  for (let seed = 1; seed <= 25; seed += 1) {
    const { user, money, act, listen } = await openHistory(seed * 7_919);
    for (let n = 0; n < 25; n += 1) await act();
    await listen();
    const [row] = await database.sql<{ granted: number; owed: number }>(
      `select coalesce((select sum(amount) from ledger_entries where subject_id = $1 and kind = 'subscription'), 0)::float8 as granted,
              tokens_owed::float8 as owed
         from subscriptions where user_id = $1`,
      [user.id],
    );
    const kept = money.charged - money.back - money.credit;
    t.equal((row?.granted ?? 0) - (row?.owed ?? 0), kept * TOKENS_PER_CENT, `history ${seed}`);
  }
  await server.verifyLedger(t);
});

t.end();
