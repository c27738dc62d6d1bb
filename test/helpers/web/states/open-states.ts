import { randomUUID } from 'node:crypto';
import type { Page } from 'playwright-core';
import { registerUser } from '../../accounts.js';
import { logInAsAdmin } from '../../admin.js';
import { createInvoice } from '../../fakes/stripe-invoices.js';
import { eventObject, stripeId } from '../../fakes/stripe-objects.js';
import { mailedToken } from '../../password-reset.js';
import { mailedLink, resend } from '../../sign-up.js';
import { deliver, openSubscriber } from '../../subscriptions.js';
import { PASSWORD, type Scene, type State, wrongField } from './scene.js';

const submit = (page: Page) => page.locator('main form button[type=submit]').first().click();
const alert = (page: Page) => page.getByRole('alert').first().waitFor();

/** Opens an address anew, also where only what is behind its `#` is another. */
async function visit(page: Page, address: string): Promise<void> {
  await page.goto('about:blank');
  await page.goto(address);
  await page.getByRole('heading', { level: 1 }).waitFor();
}

/** Opens an address, sends its form, and waits for a heading that was not there before. */
async function visitAndSend(page: Page, address: string, fields: Readonly<Record<string, string>> = {}): Promise<void> {
  await visit(page, address);
  const before = await page.locator('h1').innerText();
  for (const [name, value] of Object.entries(fields))
    await page.locator(`[name="${name}"]:not([readonly])`).fill(value);
  await submit(page);
  await page.locator('h1').filter({ hasNotText: before }).waitFor();
}

async function openCheckout({ stripe, server, url, page }: Scene, facts: object, isToldOf: boolean): Promise<void> {
  const { user, subscription } = await openSubscriber(server, stripe);
  const id = stripeId('cs_test');
  const paid = {
    mode: 'subscription',
    status: 'complete',
    payment_status: 'paid',
    amount_total: 1_000,
    currency: 'usd',
  };
  const whose = { client_reference_id: user.id, subscription: subscription.id };
  stripe.checkouts.set(id, { id, object: 'checkout.session', ...paid, ...whose, ...facts });
  if (isToldOf) await deliver(server, eventObject('invoice.paid', createInvoice(subscription)));
  await visit(page, `${url}/checkout-success#${id}`);
  await page.getByRole('status').filter({ hasText: /\S/ }).first().waitFor();
}

/** States of the pages that need no sign-in. */
export const OPEN_STATES: Readonly<Record<string, State>> = {
  'sign-in with nothing typed': async ({ page, url }) => {
    await visit(page, `${url}/dashboard`);
    await submit(page);
    await wrongField(page);
  },
  'sign-in with a wrong password': async ({ page, url, user }) => {
    await visit(page, `${url}/dashboard`);
    await page.locator('[name=email]').fill(user.email);
    await page.locator('[name=current-password]').fill('not the password');
    await submit(page);
    await alert(page);
  },
  'sign-up with a taken address': async ({ page, url, user }) => {
    await visit(page, `${url}/sign-up`);
    await page.locator('[name=email]').fill(user.email);
    await page.locator('[name=new-password]').fill(PASSWORD);
    await submit(page);
    await wrongField(page);
  },
  'sign-up done': ({ page, verifiedUrl }) =>
    visitAndSend(page, `${verifiedUrl}/sign-up`, { email: `${randomUUID()}@example.com`, 'new-password': PASSWORD }),
  'sign-up closed': ({ page, closedUrl }) => visit(page, `${closedUrl}/sign-up`),
  'forgot-password sent': ({ page, url }) =>
    visitAndSend(page, `${url}/forgot-password`, { email: 'nobody@example.com' }),
  'reset-password too short': async ({ page, url }) => {
    await visit(page, `${url}/reset-password#token=x&email=ada@example.com`);
    await page.locator('[name=new-password]').fill('short');
    await submit(page);
    await wrongField(page);
  },
  'reset-password dead': ({ page, url }) =>
    visitAndSend(page, `${url}/reset-password#token=x`, { 'new-password': PASSWORD }),
  'reset-password done': async ({ page, url, server, smtp }) => {
    const { email } = await registerUser(server);
    const token = await mailedToken(server.app, smtp, email);
    await visitAndSend(page, `${url}/reset-password#${new URLSearchParams({ token, email })}`, {
      'new-password': PASSWORD,
    });
  },
  'verify-email incomplete': ({ page, url }) => visit(page, `${url}/verify-email`),
  'verify-email dead': ({ page, url }) => visitAndSend(page, `${url}/verify-email#token=x`),
  'verify-email done': async ({ page, url, server, smtp }) => {
    const { email } = await registerUser(server);
    await resend(server, email);
    await visitAndSend(page, `${url}/verify-email#token=${await mailedLink(smtp, email)}`);
  },
  'verify-email of a taken address': async ({ page, url, server, smtp }) => {
    const email = `${randomUUID()}@example.com`;
    await (await registerUser(server)).as('PUT', '/api/users/me', { email });
    const token = await mailedLink(smtp, email);
    await registerUser(server, { email });
    await visitAndSend(page, `${url}/verify-email#token=${token}`);
  },
  'invitation incomplete': ({ page, url }) => visit(page, `${url}/invitation`),
  'invitation dead': ({ page, inviteUrl }) =>
    visitAndSend(page, `${inviteUrl}/invitation#code=x`, {
      email: `${randomUUID()}@example.com`,
      'new-password': PASSWORD,
    }),
  'invitation done': async ({ page, inviteUrl, server }) => {
    const admin = await logInAsAdmin(server);
    const email = `${randomUUID()}@example.com`;
    const { link } = (await admin.as('POST', '/api/admin/invitations', { email })).json<{ link: string }>();
    await visitAndSend(page, `${inviteUrl}/invitation${new URL(link).hash}`, { 'new-password': PASSWORD });
  },
  'signed-in not begun here': ({ page, url }) => visit(page, `${url}/signed-in?code=x&state=y`),
  'signed-in with our own error': ({ page, url }) => visit(page, `${url}/signed-in?error=INVALID_GRANT`),
  'checkout unpaid': (scene) => openCheckout(scene, { payment_status: 'unpaid', status: 'open' }, false),
  'checkout on its way': (scene) => openCheckout(scene, {}, false),
  'checkout granted': (scene) => openCheckout(scene, {}, true),
};
