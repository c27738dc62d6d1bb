import { randomUUID } from 'node:crypto';
import { openSmtpServer } from '../helpers/fakes/smtp-server.js';
import { browserMissing, openBrowser, type WatchedPage } from '../helpers/http/browser.js';
import { openTestServer } from '../helpers/http/test-server.js';
import { findFreePort } from '../helpers/local-program.js';
import { mailEnvironment } from '../helpers/password-reset.js';
import t, { type Test } from '../helpers/run/tap.js';
import { beginSignIn, openGoogle, visitProvider } from '../helpers/sign-in.js';
import { mailedLink } from '../helpers/sign-up.js';
import { openView, tabTo } from '../helpers/web/view.js';

const PASSWORD = 'correct horse battery staple';
const HTML = { accept: 'text/html' };

if (browserMissing) t.plan(0, browserMissing);
else await testInBrowser(t);

async function testInBrowser(t: Test) {
  const smtp = await openSmtpServer(t);
  const google = await openGoogle(t);
  const port = await findFreePort();
  const url = `http://127.0.0.1:${port}`;
  const environment = { ...google.environment, ...mailEnvironment(smtp), PUBLIC_URL: url, SIGNUP: 'verified' };
  const server = await openTestServer(t, { environment });
  await server.app.listen({ host: '127.0.0.1', port });
  // The provider calls itself localhost.
  const browser = await openBrowser(t, ['MAP localhost 127.0.0.1']);
  const heading = ({ page }: WatchedPage, name: string | RegExp) => page.getByRole('heading', { name }).waitFor();
  const assertClean = (t: Test, { complaints }: WatchedPage) => t.strictSame(complaints, [], 'nothing in the console');

  t.test('what is offered is told to who is not signed in', async (t) => {
    t.strictSame((await server.app.inject({ url: '/api/auth/options' })).json(), {
      sign_up: 'verified',
      providers: ['google'],
      mails: true,
      mails_logged: false,
      signed_in_page: `${url}/signed-in`,
    });
    const closed = await openTestServer(t, { database: server.database, environment: { SIGNUP: 'closed' } });
    t.match((await closed.app.inject({ url: '/api/auth/options' })).json(), {
      sign_up: 'closed',
      providers: [],
      mails: false,
    });
    const watched = await openView(t, browser);
    await watched.page.goto(`${await closed.listen()}/sign-up`);
    await heading(watched, 'No new accounts');
  });

  t.test('somebody signs up in German on a phone, proves the address, and is in', async (t) => {
    const email = `${randomUUID()}@example.com`;
    const watched = await openView(t, browser, { german: true, phone: true });
    const { page } = watched;
    await page.goto(`${url}/`);
    await page.getByRole('link', { name: 'Konto erstellen' }).tap();
    await heading(watched, 'Konto erstellen');
    await page.getByLabel('E-Mail-Adresse').fill(email);
    await page.getByLabel('Passwort', { exact: true }).fill('password123');
    await page.getByRole('button', { name: 'Konto erstellen' }).tap();
    await page.getByText('Dieses Passwort ist zu verbreitet').waitFor();
    await page.getByLabel('Passwort', { exact: true }).fill(PASSWORD);
    await page.getByRole('button', { name: 'Konto erstellen' }).tap();
    await heading(watched, 'Ihr Konto ist bereit');
    await page.getByText(`Wir haben einen Link an ${email} geschickt.`).waitFor();
    await page.goto(`${url}/verify-email#token=${await mailedLink(smtp, email)}`);
    await page.getByRole('button', { name: 'Ja, meine Adresse bestätigen' }).tap();
    await heading(watched, 'Ihre Adresse ist bestätigt');
    await page.getByRole('link', { name: 'Zu Ihrem Konto' }).tap();
    await heading(watched, 'Ihre Nutzung');
    await page.getByRole('button', { name: /Menü/ }).tap();
    await page.getByRole('link', { name: 'Konto', exact: true }).tap();
    await page.getByText('bestätigt', { exact: true }).waitFor();
    assertClean(t, watched);
  });

  t.test('an address that has an account is told at its field', async (t) => {
    const email = `${randomUUID()}@example.com`;
    await server.app.inject({ method: 'POST', url: '/api/auth/register', payload: { email, password: PASSWORD } });
    const watched = await openView(t, browser);
    const { page } = watched;
    await page.goto(`${url}/sign-up`);
    await page.locator('input[type=email]:focus').waitFor();
    await page.keyboard.type(email);
    await tabTo(page, 'Password', 3);
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press('Enter');
    await page.locator('input[type=email][aria-invalid=true]:focus').waitFor();
    await page.getByText('Email already exists').waitFor();
  });

  t.test(
    'signing in with Google ends on the dashboard, and what the browser came back with is in no address',
    async (t) => {
      const watched = await openView(t, browser);
      const { page, requests } = watched;
      await page.goto(`${url}/dashboard`);
      await page.getByRole('button', { name: 'Continue with Google' }).click();
      await heading(watched, 'Your usage');
      t.equal(page.url(), `${url}/dashboard`);
      await page.getByText('ada@example.com').waitFor();
      const back = requests.find((request) => request.includes('/signed-in?')) ?? '';
      const code = new URL(back.replace('GET ', '')).searchParams.get('code') ?? '';
      const payload = { code, redirect_uri: `${url}/signed-in` };
      const stolen = await server.app.inject({ method: 'POST', url: '/api/auth/oauth/token', payload });
      t.match(stolen.json(), { code: 'INVALID_GRANT' }, 'the code was used, and bound to the tab');
      assertClean(t, watched);
    },
  );

  t.test("somebody else's sign-in is not taken for one's own", async (t) => {
    const begun = await beginSignIn(server, { redirect_uri: `${url}/signed-in`, state: 'of another' });
    const answer = await visitProvider(begun);
    const watched = await openView(t, browser);
    await watched.page.goto(answer.href);
    await heading(watched, 'The sign-in did not work');
    await watched.page.getByText('This sign-in was not begun in this tab.').waitFor();
    t.equal(await watched.page.evaluate('sessionStorage.length'), 0);
  });

  t.test('what goes wrong on the way is a page for people and JSON for programs', async (t) => {
    const paths = { unknown: '/api/auth/oauth/google/callback?state=x&code=y', off: '/api/auth/oauth/github' };
    for (const [path, code, sentence] of [
      [paths.unknown, 'INVALID_GRANT', 'The sign-in took too long or was finished already.'],
      [paths.off, 'GITHUB_DISABLED', 'Signing in with GitHub is not set up on this server.'],
    ] as const) {
      t.match((await server.app.inject({ url: path })).json(), { code });
      const shown = await server.app.inject({ url: path, headers: HTML });
      t.match(shown, { statusCode: 302, headers: { location: `${url}/signed-in?error=${code}` } });
      const watched = await openView(t, browser);
      await watched.page.goto(`${url}${path}`);
      await watched.page.getByText(sentence).waitFor();
      t.equal(watched.page.url(), `${url}/signed-in`);
      assertClean(t, watched);
    }
    const begun = await server.app.inject({ url: '/api/auth/oauth/google', headers: HTML });
    t.equal(begun.headers.location, `${url}/signed-in?provider=google`, 'a person begins with a client');
  });

  t.test('the ledger verifies', (t) => server.verifyLedger(t));
}

t.end();
