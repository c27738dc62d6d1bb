import type { Page } from 'playwright-core';
import { registerUser } from '../helpers/accounts.js';
import { logInAsAdmin } from '../helpers/admin.js';
import { browserMissing, openBrowser } from '../helpers/http/browser.js';
import { openTestServer, setBalance } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';
import { openConsole, settle } from '../helpers/web/console.js';
import { openView, signInAt } from '../helpers/web/view.js';

/** What a page is made of besides its document. */
const FILES = { script: '**/assets/dashboard-*.js', texts: '**/assets/chunk-*.js' } as const;
const incomplete = (page: Page) => page.getByText('This page could not be loaded.');

t.test('pages over a connection that breaks', { skip: browserMissing }, async (t) => {
  const server = await openTestServer(t);
  const url = await server.listen();
  const browser = await openBrowser(t);

  t.test('a page of which a file does not come says so, and can be loaded again where one was', async (t) => {
    for (const [name, pattern] of Object.entries(FILES)) {
      const { page } = await openView(t, browser);
      await page.route(pattern, (route) => route.abort());
      await page.goto(`${url}/dashboard#/keys`);
      await incomplete(page).waitFor();
      t.notOk(await page.locator('.starting').isVisible(), `${name}: nothing pretends that it still comes`);
      await page.unroute(pattern);
      await page.getByRole('button', { name: 'Try again' }).click();
      await page.getByRole('heading', { name: 'Sign in' }).waitFor();
      t.match(page.url(), /#\/keys$/, name);
    }
  });

  t.test('one sees that a page is on its way', async (t) => {
    const { page } = await openView(t, browser);
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    await page.route(FILES.script, async (route) => {
      await released;
      await route.continue();
    });
    await page.goto(`${url}/dashboard`, { waitUntil: 'commit' });
    await page.locator('.starting .spinner').waitFor();
    t.notOk(await incomplete(page).isVisible());
    release();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  });

  t.test('a language whose texts do not come is told, and everything stays as it is', async (t) => {
    const { page } = await openView(t, browser);
    await page.goto(`${url}/sign-up`);
    await page.getByLabel('E-mail address').fill('ada@example.com');
    await page.context().setOffline(true);
    await page.getByLabel('Language').selectOption('de');
    await page.getByRole('status').getByText('The texts in Deutsch could not be loaded.').waitFor();
    t.equal(await page.getByLabel('Language').inputValue(), 'en');
    t.equal(await page.getByLabel('E-mail address').inputValue(), 'ada@example.com');
    await page.context().setOffline(false);
    await page.getByLabel('Language').selectOption('de');
    await page.getByRole('heading', { name: 'Konto erstellen' }).waitFor();
    t.equal(await page.getByLabel('E-Mail-Adresse').inputValue(), 'ada@example.com');
  });

  t.test('what a sign-in is typed into stays where it is when the other ways in come', async (t) => {
    const { page } = await openView(t, browser);
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    await page.route('**/api/auth/options', async (route) => {
      await released;
      await route.fulfill({
        json: {
          sign_up: 'open',
          providers: ['google', 'github'],
          mails: true,
          mails_logged: false,
          signed_in_page: '',
        },
      });
    });
    await page.goto(`${url}/dashboard`);
    const submit = page.getByRole('button', { name: 'Sign in', exact: true });
    await submit.waitFor();
    const before = await submit.boundingBox();
    release();
    await page.getByRole('button', { name: 'Continue with GitHub' }).waitFor();
    t.strictSame(await submit.boundingBox(), before);
  });

  t.test('rows that come late are not added to a list of something else', async (t) => {
    for (let count = 0; count < 52; count++) await server.registerDevice();
    const { page, visit } = await openConsole(t, browser, { server, url });
    await visit('/devices');
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    await page.route('**/api/admin/devices?*cursor=*', async (route) => {
      await released;
      await route.continue();
    });
    const late = page.waitForResponse(/cursor=/);
    await page.getByRole('button', { name: 'Show more' }).click();
    await page.getByLabel('Show', { exact: true }).selectOption({ label: 'Blocked' });
    await page.getByText('Nothing matches.').waitFor();
    release();
    await (await late).finished();
    await settle(page);
    await page.getByText('Nothing matches.').waitFor();
    t.equal(await page.getByRole('table').count(), 0);
  });

  t.test('a change of many says that nobody knows how far it is while the server does not answer', async (t) => {
    const admin = await logInAsAdmin(server, 'changing');
    const body = { action: 'allocate', tokens: 1 };
    const { id } = (await admin.as('POST', '/api/admin/devices/bulk-changes', body)).json<{ id: string }>();
    // It is under way, though no process was told of it.
    await server.database.sql(
      `select run_bulk_change(jsonb_build_object('id', s.admin_id, 'version', 1, 'session_id', s.id), $1)
         from private.admin_sessions s join private.admins a on a.id = s.admin_id where a.username = 'changing'`,
      [id],
    );
    const { page, visit } = await openConsole(t, browser, { server, url });
    await visit('/people');
    await page.getByRole('button', { name: /^Details: / }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('The server goes on by itself').waitFor();
    await page.context().setOffline(true);
    await dialog.getByText('The server does not answer at the moment.').waitFor();
    t.notOk(await dialog.getByText('The server goes on by itself').isVisible());
    await dialog.getByRole('button', { name: 'Pause' }).click();
    await dialog.getByText('The server did not answer.').waitFor();
    await page.context().setOffline(false);
    await dialog.getByText('The server goes on by itself').waitFor();
    await dialog.getByText('The server did not answer.').waitFor({ state: 'detached' });
    await dialog.getByRole('button', { name: 'Pause' }).click();
    await dialog.getByRole('button', { name: 'Give up the rest' }).click();
    await dialog.getByRole('button', { name: 'Give up the rest' }).waitFor({ state: 'detached' });
  });

  t.test('a payment that cannot be asked for is asked for again when somebody wants it', async () => {
    const { page } = await openView(t, browser);
    // By itself the page asks again later and later.
    await page.clock.install();
    await page.route('**/api/subscriptions/purchase', (route) => route.abort());
    await page.goto(`${url}/checkout-success#cs_test_unknown000000`);
    await page.clock.runFor(2_000);
    await page.getByText('The server did not answer.').waitFor();
    await page.clock.pauseAt(Date.now() + 60 * 60_000);
    await page.unroute('**/api/subscriptions/purchase');
    const json = { status: 'granted', amount: 1_000, currency: 'usd', bought: null };
    await page.route('**/api/subscriptions/purchase', (route) => route.fulfill({ json }));
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.clock.runFor(100);
    await page.getByRole('heading', { name: 'Your payment has arrived' }).waitFor();
  });

  t.test('a page that nobody is signed in to any more is whole without a connection', async (t) => {
    const user = await registerUser(server);
    const watched = await openView(t, browser);
    const { page } = watched;
    await signInAt(watched, url, user);
    await page.context().setOffline(true);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('You are signed out here, but the server did not answer').waitFor();
    t.equal(await page.locator('img').count(), 0, 'no picture is missing');
    t.ok(await page.locator('.brand svg').isVisible());
  });

  t.test('a dialog stays until it is known what came of what it sends', async (t) => {
    const { id } = await server.registerDevice(10);
    const { page, visit } = await openConsole(t, browser, { server, url });
    await visit(`/devices/${id}`);
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    await page.route('**/api/admin/allocate', async (route) => {
      await released;
      await route.continue();
    });
    const sent = page.waitForRequest('**/api/admin/allocate');
    await page.getByRole('button', { name: 'Give or move tokens' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Tokens', { exact: true }).fill('7');
    await page.keyboard.press('Enter');
    await sent;
    for (const key of ['Escape', 'Escape', 'Escape']) await page.keyboard.press(key);
    await dialog.getByRole('button', { name: 'Close' }).click();
    t.ok(await dialog.locator('.more').evaluate((more) => more.matches('[inert]')), 'nothing pretends to call it back');
    release();
    await dialog.getByText('Ledger entry').waitFor();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
  });

  t.test('a stream that has fallen silent is opened again, and what was loaded since counts', async (t) => {
    const user = await registerUser(server);
    const watched = await openView(t, browser);
    const { page, requests } = watched;
    await page.clock.install();
    await signInAt(watched, url, user);
    const streams = () => requests.filter((request) => request.endsWith('/sync/stream')).length;
    await page.getByRole('link', { name: 'Tokens', exact: true }).click();
    const card = page.getByRole('region', { name: 'Account balance' });
    await card.getByText('Live').waitFor();
    const before = streams();
    // The server means to say something before a minute of its own is over, which is not that of the page.
    const again = page.waitForRequest('**/sync/stream');
    await page.clock.fastForward('01:00');
    await page.clock.fastForward('01:00');
    await again;
    t.ok(streams() > before);

    await page.route('**/sync/stream', (route) => route.abort());
    await page.getByRole('button', { name: 'Refresh' }).click();
    await card.getByText('Live').waitFor({ state: 'detached' });
    await setBalance(server.database, user.id, 4_321);
    await page.getByRole('button', { name: 'Refresh' }).click();
    await card.getByText('4,321').first().waitFor();
  });

  t.test('the ledger verifies', (t) => server.verifyLedger(t));
});

t.end();
