import { registerUser } from '../../helpers/accounts.js';
import { openDashboard, reportUse, shown, signIn } from '../../helpers/dashboard.js';
import { openSmtpServer } from '../../helpers/fakes/smtp-server.js';
import { browserMissing, openBrowser, openPage, type WatchedPage } from '../../helpers/http/browser.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { mailEnvironment } from '../../helpers/password-reset.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { until } from '../../helpers/until.js';

if (browserMissing) t.plan(0, browserMissing);
else await testInBrowser(t);

async function testInBrowser(t: Test) {
  const server = await openTestServer(t);
  const url = await server.listen();
  const browser = await openBrowser(t);

  const says = ({ page }: WatchedPage, role: 'alert' | 'status', sentence: string) =>
    page.getByRole(role).filter({ hasText: sentence }).first().waitFor();
  const tryAgain = ({ page }: WatchedPage) => page.getByRole('button', { name: 'Try again' }).click();
  const isShown = ({ page }: WatchedPage, text: string) => page.getByText(text).first().isVisible();

  t.test('without a connection it is said, nothing wrong is shown, and one can try again', async (t) => {
    const user = await registerUser(server);
    await reportUse(user, [{ sent: 5 }, { sent: 50, daysAgo: 20 }]);
    const watched = await openDashboard(t, browser, url, user);
    const { page } = watched;
    await page.context().setOffline(true);
    await page.getByText('Last 7 days', { exact: true }).click();
    await says(watched, 'alert', 'The server did not answer. Check your connection and try again.');
    t.equal(await page.getByRole('alert').count(), 2, 'for the sums and for the events');
    t.notOk(await isShown(watched, '55 tokens'), 'the numbers of another range are gone');
    await page.context().setOffline(false);
    await page.getByRole('button', { name: 'Refresh' }).click();
    await shown(watched);
    t.ok(await isShown(watched, '5 tokens'));
    await page.getByRole('alert').first().waitFor({ state: 'detached' });
  });

  t.test('a part that fails leaves the others alone', async (t) => {
    const user = await registerUser(server);
    await reportUse(user, [{ model: 'still-here' }]);
    const watched = await openPage(t, browser, { locale: 'en-US' });
    await watched.page.route('**/api/usage/summary?group_by=day*', (route) => route.abort());
    await signIn(watched, url, user);
    await says(watched, 'alert', 'did not answer');
    const event = watched.page.getByRole('region', { name: 'Recent events' }).getByText('still-here');
    await event.waitFor();
    t.ok(await event.isVisible());
    await watched.page.unrouteAll();
    await tryAgain(watched);
    await shown(watched);
    t.ok(await watched.page.getByRole('region', { name: 'By model' }).getByText('still-here').isVisible());
  });

  t.test('the answer for a range that was left is not shown', async (t) => {
    const user = await registerUser(server);
    await reportUse(user, [{ sent: 5 }, { sent: 50, daysAgo: 20 }]);
    const watched = await openDashboard(t, browser, url, user);
    const { page } = watched;
    const held: (() => Promise<void>)[] = [];
    let holding = true;
    // Taking the rule back would let go of what it holds.
    await page.route(/\/api\/usage/, async (route) => {
      if (holding) held.push(() => route.continue());
      else await route.continue();
    });
    await page.getByText('Last 7 days', { exact: true }).click();
    await until('its questions are on their way', () => held.length === 3 || undefined);
    holding = false;
    await page.getByText('Last 90 days', { exact: true }).click();
    await shown(watched);
    // Those that were given up are gone.
    for (const release of held) await release().catch(() => undefined);
    await page.evaluate('new Promise(requestAnimationFrame)');
    t.ok(await isShown(watched, '55 tokens'));
    t.ok(await isShown(watched, 'Last 90 days'));
    t.equal(await page.locator('.events tbody tr').count(), 2);
    t.notOk(await page.getByRole('alert').isVisible());
  });

  t.test('a gateway that answers instead of the server is told by its status', async (t) => {
    const user = await registerUser(server);
    const watched = await openPage(t, browser);
    await watched.page.route('**/api/auth/login', (route) => route.fulfill({ status: 502, body: '<h1>Bad Gateway' }));
    await signIn(watched, url, user);
    await says(watched, 'alert', 'The server answered with an error (502).');
    await watched.page.unrouteAll();
    await watched.page.route('**/api/auth/login', (route) => route.fulfill({ status: 200, body: 'null' }));
    await watched.page.getByRole('button', { name: 'Sign in' }).click();
    await says(watched, 'alert', 'does not understand');
    t.equal(await watched.page.evaluate('sessionStorage.length'), 0, 'half a session is none');
  });

  t.test('an outage while the page is loaded again ends no session', async (t) => {
    const user = await registerUser(server);
    const watched = await openDashboard(t, browser, url, user);
    await watched.page.route('**/api/auth/refresh', (route) => route.abort());
    await watched.page.reload();
    await says(watched, 'alert', 'did not answer');
    t.notOk(await watched.page.getByRole('button', { name: 'Sign in' }).isVisible());
    await watched.page.unrouteAll();
    await tryAgain(watched);
    await shown(watched);
    t.ok(await isShown(watched, user.email));
  });

  t.test('signing out without a connection forgets the session here, and says that it is not over', async (t) => {
    const user = await registerUser(server);
    const watched = await openDashboard(t, browser, url, user);
    const { page } = watched;
    await page.context().setOffline(true);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await says(watched, 'status', 'You are signed out here, but the server did not answer');
    t.equal(await page.evaluate('sessionStorage.length'), 0);
    await page.context().setOffline(false);
    await page.reload();
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
  });

  t.test('too many wrong passwords are told in the words of the server', async (t) => {
    const user = await registerUser(server);
    const payload = { email: user.email, password: 'not the password' };
    await until('the account has to wait', async () => {
      const { statusCode } = await server.app.inject({ method: 'POST', url: '/api/auth/login', payload });
      return statusCode === 429 || undefined;
    });
    const watched = await openPage(t, browser);
    await signIn(watched, url, user);
    await says(watched, 'alert', 'Too many requests, try again later');
    t.equal(await watched.page.evaluate('sessionStorage.length'), 0);
  });

  t.test('who forgot the password is sent a mail, or told why not', async (t) => {
    const smtp = await openSmtpServer(t);
    const environment = mailEnvironment(smtp);
    const mailing = await openTestServer(t, { database: server.database, environment });
    const user = await registerUser(server);
    const without = await openPage(t, browser);
    await without.page.goto(`${url}/forgot-password`);
    await without.page.getByLabel('E-mail address').fill(user.email);
    await without.page.keyboard.press('Enter');
    await says(without, 'alert', 'Sending mail is not set up on this server');
    const { page } = await openPage(t, browser);
    await page.goto(`${await mailing.listen()}/dashboard`);
    await page.getByRole('link', { name: 'Forgot your password?' }).press('Enter');
    await page.getByLabel('E-mail address').fill(user.email);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Check your mail' }).waitFor();
    t.strictSame((await smtp.mail(1)).to, [user.email]);
  });

  t.test('without JavaScript the page says what it needs, and sends nothing', async (t) => {
    const watched = await openPage(t, browser, { javaScriptEnabled: false });
    await watched.page.goto(`${url}/dashboard`);
    await watched.page.getByText('needs JavaScript').waitFor();
    t.notOk(await watched.page.locator('form').isVisible());
    t.notOk(await watched.page.getByRole('button').first().isVisible());
  });

  t.test('the ledger verifies', (t) => server.verifyLedger(t));
}

t.end();
