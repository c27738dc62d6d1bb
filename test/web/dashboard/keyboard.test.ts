import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import { createInvoice } from '../../helpers/fakes/stripe-invoices.js';
import { subscriptionObject } from '../../helpers/fakes/stripe-objects.js';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { browserMissing, openBrowser } from '../../helpers/http/browser.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { mailEnvironment } from '../../helpers/password-reset.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { mailedLink } from '../../helpers/sign-up.js';
import { openBusyPerson } from '../../helpers/web/busy-person.js';
import { findEnglish } from '../../helpers/web/languages.js';
import { isFocusVisible, openView, tabTo } from '../../helpers/web/view.js';

const NEW_PASSWORD = 'ein ganz anderes Pferd';
const NEW_EMAIL = 'ada.lovelace@example.com';

if (browserMissing) t.plan(0, browserMissing);
else await testInBrowser(t);

/** Every task with the keyboard alone, in German, in the dark, on 360 pixels. */
async function testInBrowser(t: Test) {
  const stripe = await openStripe(t);
  const smtp = await openSmtpServer(t);
  const server = await openTestServer(t, { environment: { ...stripe.environment, ...mailEnvironment(smtp) } });
  const url = await server.listen();
  const browser = await openBrowser(t);
  const user = await openBusyPerson(server, stripe);
  const { page, complaints } = await openView(t, browser, { german: true, dark: true, phone: true });
  await page.route('https://invoice.stripe.com/**', (route) => route.fulfill({ body: 'Stripe' }));

  const press = (key: string) => page.keyboard.press(key);
  const type = async (text: string) => {
    await press('Control+A');
    await page.keyboard.type(text);
  };
  const says = (sentence: string) => page.getByRole('status').filter({ hasText: sentence }).first().waitFor();
  const dialog = page.getByRole('dialog');
  const title = (name: string) => page.getByRole('heading', { level: 1, name }).waitFor();
  const focused = page.locator(':focus');

  /** Reaches something, sees where the focus is, and presses it. */
  const choose = async (t: Test, name: string | RegExp, key = 'Enter') => {
    await tabTo(page, name, 120);
    t.ok(await isFocusVisible(page), `one sees that the focus is on ${name}`);
    await press(key);
  };
  /** Chooses something that opens a dialog, and what is done there. */
  const chooseAndConfirm = async (t: Test, name: string | RegExp, confirm: string) => {
    await choose(t, name);
    await dialog.waitFor();
    await choose(t, confirm);
    await dialog.waitFor({ state: 'detached' });
  };
  /** Opens the menu, chooses a view of it, and waits until it is whole. */
  const goTo = async (t: Test, name: string, heading: string) => {
    await choose(t, /^Menü/);
    await choose(t, name);
    await title(heading);
    await page.locator('h1:focus').waitFor();
    await page.locator('.loading').first().waitFor({ state: 'detached' });
    t.strictSame(await findEnglish(page), [], `${heading}: nothing is said in English`);
    t.ok(await page.evaluate<boolean>('document.documentElement.scrollWidth <= innerWidth'), 'nothing is cut off');
  };

  t.test('signing in', async (t) => {
    await page.goto(`${url}/dashboard`);
    await page.locator('[autocomplete=username]:focus').waitFor();
    await type(user.email);
    await tabTo(page, 'Passwort', 2);
    t.equal(await focused.getAttribute('autocomplete'), 'current-password');
    await type(user.password);
    await press('Enter');
    await title('Ihre Nutzung');
    t.equal(await page.locator('html').getAttribute('lang'), 'de');
  });

  t.test('days are chosen with the arrow keys, and typed; a card is an event', async (t) => {
    await tabTo(page, 'Letzte 30 Tage');
    await press('ArrowLeft');
    await page.getByText('Letzte 7 Tage', { exact: true }).last().waitFor();
    for (const _ of [1, 2, 3]) await press('ArrowRight');
    await tabTo(page, 'Von', 3);
    // Day, month and year are fields of their own, in the order of the browser itself.
    await page.keyboard.type('01012026');
    await says('Gezeigt wird 01.01.');
    await choose(t, 'Aktualisieren');
    await says('Gezeigt wird 01.01.');
    const sources = await page.getByRole('region', { name: 'Nach Herkunft' }).locator('tr').allInnerTexts();
    t.ok(
      sources.some((row) => /Chat\s+4\s+[\d.]+\s+4\.800/.test(row)),
      sources.join(),
    );
    const display = 'getComputedStyle(document.querySelector(".events tbody tr")).display';
    t.not(await page.evaluate<string>(display), 'table-row');
    const [download] = await Promise.all([page.waitForEvent('download'), choose(t, 'Als CSV speichern')]);
    t.match(download.suggestedFilename(), /^usage-2026-01-01-to-.*\.csv$/);
  });

  t.test('the balances of account and devices are seen', async (t) => {
    await goTo(t, 'Token', 'Ihre Token');
    await page.getByText('Live', { exact: true }).waitFor();
    t.match(await page.getByRole('row', { name: /Ada’s laptop/ }).innerText(), /laptop\s+23\s/);
    await choose(t, 'Aktualisieren');
    t.match(await page.getByRole('region', { name: 'Kontoguthaben' }).innerText(), /5\.995\.200\s+Token übrig/);
  });

  t.test('a device is renamed and unlinked', async (t) => {
    await goTo(t, 'Geräte', 'Ihre Geräte');
    await choose(t, 'Umbenennen: Ada’s phone');
    await page.locator('dialog input:focus').waitFor();
    await type('Tasche');
    await press('Enter');
    await says('Das Gerät heißt jetzt Tasche.');
    await page.locator('button:focus', { hasText: 'Umbenennen' }).waitFor();
    await chooseAndConfirm(t, 'Trennen: Tasche', 'Trennen');
    await says('Tasche ist getrennt.');
  });

  t.test('the plan is changed, cancelled and kept, and an invoice looked at', async (t) => {
    await goTo(t, 'Tarif', 'Ihr Tarif');
    await chooseAndConfirm(t, 'Premium wählen', 'Tarif wechseln');
    await says('Ihr Tarif ist jetzt Premium.');
    await chooseAndConfirm(t, 'Abonnement kündigen', 'Abonnement kündigen');
    await page.getByText(/^Das Abonnement endet am/).waitFor();
    await chooseAndConfirm(t, 'Diesen Tarif behalten', 'Tarif wechseln');
    const payment = page.getByRole('region', { name: 'Zahlungen' }).getByRole('row', { name: /^Pro/ });
    t.match((await payment.innerText()).replaceAll('\u00a0', ' '), /10,00 \$\s+\+5\.000\.000/);
    await choose(t, /^Rechnung: Pro/);
    await page.getByRole('alert').filter({ hasText: 'Zu dieser Zahlung gibt es keine Rechnung' }).waitFor();
    const [row] = await server.database.sql<{ id: string }>(
      'select stripe_invoice_id as id from subscription_grants where user_id = $1',
      [user.id],
    );
    const hosted_invoice_url = 'https://invoice.stripe.com/i/acct_1/live_1';
    const invoice = { ...createInvoice(subscriptionObject({ customer: 'cus_1' }), row?.id), hosted_invoice_url };
    stripe.invoices.set(invoice.id, invoice);
    await choose(t, /^Rechnung: Pro/);
    await page.waitForURL(hosted_invoice_url);
    await page.goBack();
    await title('Ihr Tarif');
  });

  t.test('an earlier version of the settings comes back', async (t) => {
    await goTo(t, 'Einstellungen', 'Synchronisierte Einstellungen');
    await chooseAndConfirm(t, 'Wiederherstellen: Version 1', 'Wiederherstellen');
    await says('Version 1 ist wiederhergestellt.');
    t.match((await user.as('GET', '/api/users/me/settings')).json(), { version: 4, settings: { theme: 'dark' } });
  });

  t.test('a key is made, and deleted', async (t) => {
    await goTo(t, 'API-Schlüssel', 'Ihre API-Schlüssel');
    await choose(t, 'Schlüssel erstellen');
    await page.locator('dialog input:focus').waitFor();
    await type('Roboter');
    await choose(t, /^Chat/, 'Space');
    await press('Enter');
    await page.locator('.copy-once input:focus').waitFor();
    const secret = await focused.inputValue();
    t.match(secret, /^tlk_/);
    const authorization = `Bearer ${secret}`;
    t.equal((await server.app.inject({ url: '/api/usage', headers: { authorization } })).statusCode, 200);
    await choose(t, 'Fertig');
    await page
      .getByRole('row', { name: /^Roboter/ })
      .getByText('Nutzung melden, Nutzung lesen, Chat')
      .waitFor();
    await chooseAndConfirm(t, 'Löschen: Roboter', 'Löschen');
    await says('Roboter ist gelöscht.');
    t.equal((await server.app.inject({ url: '/api/usage', headers: { authorization } })).statusCode, 401);
  });

  /** Proves with the password that it is them, where the sign-in is long ago. */
  const prove = async (password: string) => {
    await page.locator('dialog [autocomplete=current-password]:focus').waitFor();
    await type(password);
    await press('Enter');
  };
  const forgetProof = () =>
    server.database.sql(`update private.sessions set proved_at = now() - interval '1 hour' where user_id = $1`, [
      user.id,
    ]);

  t.test('name and password are changed, the data is saved, and one signs out', async (t) => {
    await goTo(t, 'Konto', 'Ihr Konto');
    await tabTo(page, 'Name');
    await type('Ada Lovelace');
    await press('Enter');
    await says('Ihr Name ist gespeichert.');
    await tabTo(page, 'Jetziges Passwort');
    await type(user.password);
    await tabTo(page, 'Neues Passwort', 3);
    await type(NEW_PASSWORD);
    await press('Enter');
    await says('Das Passwort ist geändert.');
    const [download] = await Promise.all([page.waitForEvent('download'), choose(t, 'Meine Daten speichern')]);
    t.equal(download.suggestedFilename(), 'tokenledger-export.json');
    await choose(t, 'Abmelden');
    await title('Anmelden');
    await says('Sie sind abgemeldet.');
  });

  t.test('the address is changed by a link that is mailed to the new one, with a proof', async (t) => {
    await page.locator('[autocomplete=username]:focus').waitFor();
    await type(user.email);
    await tabTo(page, 'Passwort', 2);
    await type(NEW_PASSWORD);
    await press('Enter');
    // The view of before the sign-out is shown again.
    await title('Ihr Konto');
    await page.locator('.loading').first().waitFor({ state: 'detached' });
    await forgetProof();
    await tabTo(page, 'Neue E-Mail-Adresse');
    await type(NEW_EMAIL);
    await press('Enter');
    await prove(NEW_PASSWORD);
    await says(`Ein Link ist unterwegs an ${NEW_EMAIL}.`);
    await page.locator('dialog').waitFor({ state: 'detached' });
    t.ok(await page.evaluate<boolean>('document.activeElement.closest("form") !== null'), 'the focus is where it was');
    await page.goto(`${url}/verify-email#token=${await mailedLink(smtp, NEW_EMAIL)}`);
    await page.locator('button[type=submit]:focus').waitFor();
    await press('Enter');
    await choose(t, 'Zu Ihrem Konto');
    await title('Ihre Nutzung');
    t.strictSame(await server.database.sql('select email from users where id = $1', [user.id]), [{ email: NEW_EMAIL }]);
  });

  t.test('the account is deleted once its address is typed, with a proof', async (t) => {
    await goTo(t, 'Konto', 'Ihr Konto');
    await forgetProof();
    await choose(t, 'Konto löschen');
    await page.locator('dialog input:focus').waitFor();
    await type('ada');
    await press('Enter');
    await page.locator('dialog [aria-invalid=true]:focus').waitFor();
    await type(NEW_EMAIL);
    await press('Enter');
    await prove(NEW_PASSWORD);
    await title('Anmelden');
    await says('Ihr Konto ist gelöscht.');
    t.strictSame(await server.database.sql('select 1 from users where id = $1', [user.id]), []);
    t.strictSame(complaints, []);
  });

  t.test('the ledger verifies', (t) => server.verifyLedger(t));
}

t.end();
