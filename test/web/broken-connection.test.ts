import type { Page } from 'playwright-core';
import { registerUser } from '../helpers/accounts.js';
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
