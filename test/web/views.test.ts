import { openSmtpServer } from '../helpers/fakes/smtp-server.js';
import { openStripe } from '../helpers/fakes/stripe-server.js';
import { browserMissing, openBrowser, type WatchedPage } from '../helpers/http/browser.js';
import { openTestServer } from '../helpers/http/test-server.js';
import { mailEnvironment } from '../helpers/password-reset.js';
import t, { type Test } from '../helpers/run/tap.js';
import { openBusyPerson, openNewPerson } from '../helpers/web/busy-person.js';
import { OPEN_STATES } from '../helpers/web/states/open-states.js';
import { EMPTY_VIEWS, SIGNED_IN_STATES, showView } from '../helpers/web/states/signed-in-states.js';
import {
  assertAccessible,
  countBytes,
  keepScreenshot,
  LOOKS,
  openView,
  SCREENSHOTS,
  signInAt,
  type ViewOptions,
} from '../helpers/web/view.js';

/** Pages that need no sign-in, by what is behind their path, and what each has once it is whole. */
const OPEN_PAGES = {
  start: ['/', '.card a[href="sign-up"]'],
  'sign-in': ['/dashboard', '.or'],
  'sign-up': ['/sign-up', '.or'],
  'forgot-password': ['/forgot-password', 'form'],
  'reset-password': ['/reset-password#token=x&email=ada@example.com', 'form'],
  'reset-password-incomplete': ['/reset-password', '.ways'],
  'verify-email': ['/verify-email#token=x', 'form'],
  invitation: ['/invitation#code=x&email=ada@example.com', '.or'],
  'signed-in': ['/signed-in?provider=google', '.card .button'],
  'signed-in-error': ['/signed-in?error=access_denied', '.card .button'],
  'checkout-cancelled': ['/checkout-cancelled', '.card .button'],
  'checkout-unknown': ['/checkout-success#cs_test_unknown000000', '.card .button'],
} as const;
/** Views of the dashboard, and what has to be there before one looks. */
const VIEWS = {
  usage: ['/', '.legend li'],
  tokens: ['/tokens', '.live'],
  devices: ['/devices', '.table'],
  plan: ['/plan', '.table'],
  settings: ['/settings', '.document'],
  keys: ['/keys', '.table'],
  account: ['/account', '.table'],
} as const;
const LARGEST_PAGE_BYTES = 150_000;
/** Differs from the other looks in everything that a state could be wrong in. */
const ALL_DIFFERENCES = 'german on a dark phone';

/** Looks at what a page shows: with axe, and on a picture where one is asked for. */
async function look(t: Test, watched: WatchedPage, name: string, isChecked: boolean): Promise<void> {
  await keepScreenshot(watched, name);
  if (isChecked) await assertAccessible(t, watched, name);
}

t.test('every view in every look', { skip: browserMissing }, async (t) => {
  const stripe = await openStripe(t);
  const smtp = await openSmtpServer(t);
  const environment = {
    ...stripe.environment,
    ...mailEnvironment(smtp),
    GOOGLE_CLIENT_ID: 'our-client.apps.googleusercontent.com',
    GOOGLE_CLIENT_SECRET: 'our-secret',
    GITHUB_CLIENT_ID: 'our-client',
    GITHUB_CLIENT_SECRET: 'our-secret',
  };
  const server = await openTestServer(t, { environment });
  const { database } = server;
  const open = async (SIGNUP: string) =>
    (await openTestServer(t, { database, environment: { ...environment, SIGNUP } })).listen();
  const url = await server.listen();
  const addresses = {
    url,
    closedUrl: await open('closed'),
    inviteUrl: await open('invite'),
    verifiedUrl: await open('verified'),
  };
  const browser = await openBrowser(t);

  // Colours and names are the same on all pages: axe looks at each in two looks that have all differences together.
  for (const [name, options] of Object.entries<ViewOptions>(LOOKS)) {
    const isChecked = name === 'light' || name === ALL_DIFFERENCES;
    if (!isChecked && SCREENSHOTS === undefined) continue;
    t.test(name, async (t) => {
      const user = await openBusyPerson(server, stripe);
      const watched = await openView(t, browser, options);
      const { page } = watched;
      const scene = { page, ...addresses, server, smtp, stripe, user };
      for (const [view, [path, ready]] of Object.entries(OPEN_PAGES)) {
        await page.goto('about:blank');
        await page.goto(`${url}${path}`);
        await page.locator(ready).first().waitFor();
        await look(t, watched, `${view} ${name}`, isChecked);
      }
      if (name === ALL_DIFFERENCES || SCREENSHOTS !== undefined)
        for (const [state, show] of Object.entries(OPEN_STATES)) {
          await show(scene);
          await look(t, watched, `${state} ${name}`, isChecked);
        }
      await page.evaluate('sessionStorage.clear()');
      await signInAt(watched, url, user);
      for (const [view, [path, ready]] of Object.entries(VIEWS)) {
        await page.evaluate(`location.hash = '${path}'`);
        await page.locator(ready).first().waitFor();
        await page.locator('.loading').waitFor({ state: 'detached' });
        await look(t, watched, `${view} ${name}`, isChecked);
      }
      if (name !== ALL_DIFFERENCES && SCREENSHOTS === undefined) return;
      for (const [state, show] of Object.entries(SIGNED_IN_STATES)) {
        await show(scene);
        await look(t, watched, `${state} ${name}`, isChecked);
      }
      await page.evaluate('sessionStorage.clear()');
      await page.goto('about:blank');
      await signInAt(watched, url, await openNewPerson(server));
      for (const path of EMPTY_VIEWS) {
        await showView(page, path);
        await look(t, watched, `nothing in ${path.slice(1) || 'usage'} ${name}`, isChecked);
      }
    });
  }

  t.test('no page loads more than 150 kB', async (t) => {
    for (const [path, ready] of Object.values(OPEN_PAGES)) {
      const { page } = await openView(t, browser);
      const bytes = countBytes(page);
      await page.goto(`${url}${path}`);
      await page.locator(ready).first().waitFor();
      const loaded = await bytes();
      t.ok(loaded > 10_000 && loaded < LARGEST_PAGE_BYTES, `${path} loads ${loaded} bytes`);
    }
  });

  t.test('nor does the dashboard with every view that was opened', async (t) => {
    const user = await openBusyPerson(server, stripe);
    const watched = await openView(t, browser);
    const bytes = countBytes(watched.page);
    await signInAt(watched, url, user);
    for (const [path, ready] of Object.values(VIEWS)) {
      await watched.page.evaluate(`location.hash = '${path}'`);
      await watched.page.locator(ready).first().waitFor();
    }
    const loaded = await bytes();
    t.ok(loaded > 10_000 && loaded < LARGEST_PAGE_BYTES, `it loads ${loaded} bytes`);
  });

  t.test('the ledger verifies', (t) => server.verifyLedger(t));
});

t.end();
