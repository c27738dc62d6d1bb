import { mkdir } from 'node:fs/promises';
import { createInvoice } from '../helpers/fakes/stripe-invoices.js';
import { eventObject, stripeId } from '../helpers/fakes/stripe-objects.js';
import { openStripe } from '../helpers/fakes/stripe-server.js';
import { browserMissing, openBrowser, openPage } from '../helpers/http/browser.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t, { type Test } from '../helpers/run/tap.js';
import { deliver, openSubscriber } from '../helpers/subscriptions.js';

const stripe = await openStripe(t);
const server = await openTestServer(t, { environment: stripe.environment });

/** A payment page as Stripe has it once it was paid, unless something else is said. */
function addCheckout(facts: object): string {
  const id = stripeId('cs_test');
  const paid = {
    mode: 'subscription',
    status: 'complete',
    payment_status: 'paid',
    amount_total: 1000,
    currency: 'usd',
  };
  stripe.checkouts.set(id, { id, object: 'checkout.session', ...paid, ...facts });
  return id;
}
const ask = (checkout_id: string) =>
  server.app.inject({ method: 'POST', url: '/api/subscriptions/purchase', payload: { checkout_id } });

t.test('what was bought is told to whoever has the id of its payment page, as far as it is known', async (t) => {
  const { user, subscription } = await openSubscriber(server, stripe);
  const whose = { client_reference_id: user.id, subscription: subscription.id };
  const open = await ask(addCheckout({ ...whose, status: 'open', payment_status: 'unpaid', subscription: null }));
  t.strictSame(open.json(), { status: 'unpaid', amount: 1000, currency: 'usd', bought: null });
  const id = addCheckout(whose);
  t.match((await ask(id)).json(), { status: 'paid', bought: null }, 'Stripe has not told us yet');
  await deliver(server, eventObject('invoice.paid', createInvoice(subscription)));
  const { payload } = await ask(id);
  t.match(JSON.parse(payload), { status: 'granted', bought: { tier: 'pro', tokens_granted: 5_000_000 } });
  t.notMatch(payload, user.email);
  await server.verifyLedger(t);
});

t.test('ids of nothing, and of what is not ours, are not found', async (t) => {
  const { user, subscription } = await openSubscriber(server, stripe);
  for (const id of [
    'cs_test_unknown000000',
    addCheckout({ client_reference_id: null }),
    addCheckout({ client_reference_id: 'cart-7', subscription: subscription.id }),
    addCheckout({ client_reference_id: user.id, mode: 'payment' }),
  ]) {
    const response = await ask(id);
    t.strictSame([response.statusCode, response.json().code], [404, 'CHECKOUT_NOT_FOUND'], id);
  }
  for (const id of ['', 'sub_1', 'cs_test_../../customers', `cs_${'a'.repeat(300)}`]) {
    t.equal((await ask(id)).statusCode, 400, id);
  }
  stripe.setTrouble(500);
  t.equal((await ask(addCheckout({}))).statusCode, 503);
  stripe.setTrouble(undefined);
});

if (!browserMissing) await testInBrowser(t);

async function testInBrowser(t: Test) {
  const url = await server.listen();
  const browser = await openBrowser(t);

  t.test('amounts are those that were charged, whatever units Stripe counts a currency in', async (t) => {
    const { user, subscription } = await openSubscriber(server, stripe);
    const { page } = await openPage(t, browser, { locale: 'en-GB' });
    for (const [currency, amount_total, shown] of [
      ['jpy', 1_500, /¥1,500$/],
      ['isk', 150_000, /^ISK\s1,500$/],
      ['all', 150_000, /^ALL\s1,500$/],
      ['kwd', 1_500, /^KWD\s1\.500$/],
    ] as const) {
      const id = addCheckout({ client_reference_id: user.id, subscription: subscription.id, currency, amount_total });
      await page.goto(`${url}/checkout-success?${currency}#${id}`);
      await page.getByRole('heading', { name: 'Your payment has arrived' }).waitFor();
      const amount = await page.locator('.facts > div').first().locator('dd').innerText();
      t.match(amount.replaceAll('\u00a0', ' '), shown);
    }
  });

  t.test('the page waits for the payment, and then says plan, amount, period and tokens', async (t) => {
    const { user, subscription } = await openSubscriber(server, stripe);
    const id = addCheckout({ client_reference_id: user.id, subscription: subscription.id });
    for (const colorScheme of ['light', 'dark'] as const) {
      const options = { colorScheme, locale: 'en-GB', viewport: { width: 360, height: 640 } };
      const { page, complaints, requests } = await openPage(t, browser, options);
      await page.goto(`${url}/checkout-success#${id}`);
      await page.getByRole('heading', { name: 'Your payment has arrived' }).waitFor();
      t.equal(page.url(), `${url}/checkout-success`, 'the id is in no history');
      if (colorScheme === 'light') {
        await page.getByText('Your tokens are on their way').waitFor();
        await deliver(server, eventObject('invoice.paid', createInvoice(subscription)));
      }
      await page.getByText('Your plan is active').waitFor();
      const facts = await page.locator('dl').innerText();
      t.match(facts, /Plan\s+Pro\s+Paid\s+US\$10\.00\s+Period\s+\d.* \d{4} to \d.* \d{4}\s+Tokens added\s+5,000,000/);
      t.ok(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), 'nothing is cut off');
      await page.reload();
      await page.getByText('Your plan is active').waitFor();
      t.strictSame(complaints, []);
      t.notOk(requests.some((request) => request.replace(`#${id}`, '').includes(id) || !request.includes(` ${url}/`)));
      const folder = process.env['SCREENSHOTS'];
      if (folder !== undefined) {
        await mkdir(folder, { recursive: true });
        await page.screenshot({ path: `${folder}/checkout-${colorScheme}.png` });
      }
    }
    await server.verifyLedger(t);
  });

  t.test('whoever went back is told that nothing was charged, also without an id', async (t) => {
    const { page, complaints } = await openPage(t, browser, { viewport: { width: 360, height: 640 } });
    await page.goto(`${url}/checkout-cancelled`);
    await page.getByRole('heading', { name: 'Nothing was charged' }).waitFor();
    await page.goto(`${url}/checkout-success`);
    await page.getByRole('heading', { name: 'This link is incomplete' }).waitFor();
    await page.goto(`${url}/checkout-success#cs_test_unknown000000`);
    await page.getByRole('heading', { name: 'This link does not work' }).waitFor();
    t.strictSame(complaints, []);
  });
}

t.end();
