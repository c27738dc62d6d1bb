import { registerUser, type TestUser } from '../../helpers/accounts.js';
import { createInvoice, invoiceObject } from '../../helpers/fakes/stripe-invoices.js';
import { DAY, eventObject, nowSeconds, PRICE_PREMIUM, PRICE_PRO } from '../../helpers/fakes/stripe-objects.js';
import { chargeObject, refundObject } from '../../helpers/fakes/stripe-returns.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { deliver, openSubscriber } from '../../helpers/subscriptions.js';

const stripe = await openStripe(t);
const server = await openTestServer(t, { environment: stripe.environment });
const START = nowSeconds() - 10 * DAY;
const END = START + 30 * DAY;

interface Payment {
  readonly id: string;
  readonly tokens_granted: number;
}

const list = async (user: TestUser, query = '') =>
  (await user.as('GET', `/api/subscriptions/payments${query}`)).json<{
    payments: Payment[];
    next_cursor: string | null;
  }>();
const readInvoice = (user: TestUser, { id }: Pick<Payment, 'id'>) =>
  user.as('GET', `/api/subscriptions/payments/${id}/invoice`);

/** Somebody who paid a month of Pro, the rest of it as Premium, and got the first payment's money back. */
async function openPayer() {
  const subscriber = await openSubscriber(server, stripe, { periodStart: START, created: START });
  const { customer, subscription, user } = subscriber;
  const first = createInvoice(subscription);
  const prorated = { proration: true, start: START + 15 * DAY, end: END };
  const upgrade = invoiceObject({
    customer,
    subscription: subscription.id,
    lines: [
      { price: PRICE_PRO, amount: -500, ...prorated },
      { price: PRICE_PREMIUM, amount: 1_500, ...prorated },
    ],
  });
  for (const invoice of [first, upgrade]) {
    stripe.invoices.set(invoice.id, invoice);
    await deliver(server, eventObject('invoice.paid', invoice));
  }
  const refund = refundObject(first, 1_000);
  stripe.refunds.set(refund.id, refund);
  await deliver(server, eventObject('charge.refunded', chargeObject(first, 1_000)));
  return { user, first };
}

t.test('what each payment granted is listed, newest first, a page at a time', async (t) => {
  const { user } = await openPayer();
  const { payments, next_cursor } = await list(user);
  t.equal(next_cursor, null);
  t.match(payments, [
    {
      tier: 'premium',
      renewal: false,
      amount: 1_000,
      currency: 'usd',
      period_end: new Date(END * 1_000).toISOString().replace('.000Z', '+00:00'),
      tokens_bought: 7_500_000,
      tokens_granted: 7_500_000,
      tokens_taken_back: 0,
    },
    { tier: 'pro', renewal: true, amount: 1_000, tokens_granted: 5_000_000, tokens_taken_back: 5_000_000 },
  ]);
  const [newest, oldest] = [await list(user, '?limit=1'), payments[1]];
  t.match(await list(user, `?limit=1&cursor=${newest.next_cursor}`), { payments: [oldest] });
  t.equal((await user.as('GET', '/api/subscriptions/payments?cursor=bm9uZQ')).statusCode, 400);
  const crooked = Buffer.from(JSON.stringify({ at: 'never', id: payments[0]?.id })).toString('base64url');
  t.equal((await user.as('GET', `/api/subscriptions/payments?cursor=${crooked}`)).statusCode, 400);
  t.match(await list(await registerUser(server)), { payments: [], next_cursor: null });
  await server.verifyLedger(t);
});

t.test('the invoice of a payment is shown to who paid it, where Stripe shows it', async (t) => {
  const { user, first } = await openPayer();
  const paid = (await list(user)).payments[1] ?? { id: '' };
  t.match((await readInvoice(user, paid)).json(), { code: 'INVOICE_NOT_FOUND' }, 'Stripe has no page of it');
  const hosted_invoice_url = 'https://invoice.stripe.com/i/acct_1/live_1';
  stripe.invoices.set(first.id, Object.assign(first, { number: 'ABC-0001', hosted_invoice_url }));
  const response = await readInvoice(user, paid);
  t.strictSame(response.json(), { number: 'ABC-0001', invoice_url: hosted_invoice_url, pdf_url: null });
  t.match((await readInvoice(await registerUser(server), paid)).json(), { code: 'INVOICE_NOT_FOUND' });
  stripe.setTrouble(500);
  t.equal((await readInvoice(user, paid)).statusCode, 503);
  stripe.setTrouble(undefined);
  stripe.invoices.delete(first.id);
  t.equal((await readInvoice(user, paid)).statusCode, 404);
  const without = await openTestServer(t, { database: server.database });
  const answer = await without.app.inject({ url: `/api/subscriptions/payments/${paid.id}/invoice` });
  t.equal(answer.statusCode, 401);
  await server.verifyLedger(t);
});

t.end();
