import { registerUser, sendWith } from '../../helpers/accounts.js';
import { assertClean, chooseDays, openDashboard, reportUse, shown, signIn } from '../../helpers/dashboard.js';
import { browserMissing, openBrowser, openPage, type WatchedPage } from '../../helpers/http/browser.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { until } from '../../helpers/until.js';

if (browserMissing) t.plan(0, browserMissing);
else await testInBrowser(t);

async function testInBrowser(t: Test) {
  const server = await openTestServer(t);
  const url = await server.listen();
  const browser = await openBrowser(t);

  const stored = ({ page }: WatchedPage) => page.evaluate<Record<string, string>>('({ ...sessionStorage })');
  const refreshTokenIn = async (watched: WatchedPage) => Object.values(await stored(watched))[0] ?? '';
  const form = ({ page }: WatchedPage) => page.getByRole('button', { name: 'Sign in' });
  const countRefreshes = ({ requests }: WatchedPage) =>
    requests.filter((request) => request.endsWith('/api/auth/refresh')).length;
  const isAccepted = async (token: string) => (await sendWith(server, token, 'GET', '/api/usage')).statusCode === 200;
  const canRefresh = async (refresh_token: string) => {
    const answer = await server.app.inject({ method: 'POST', url: '/api/auth/refresh', payload: { refresh_token } });
    return answer.statusCode === 200;
  };
  /** The access token a page gets next. */
  const nextToken = async ({ page }: WatchedPage, path: string) => {
    const response = await page.waitForResponse((answer) => answer.url().endsWith(path));
    const body: unknown = await response.json();
    return String(Reflect.get(Object(body), 'token'));
  };

  t.test('the keyboard is enough to sign in, and what was typed does not stay', async (t) => {
    const user = await registerUser(server);
    await reportUse(user, [{ sent: 1_234 }]);
    const watched = await openPage(t, browser, { locale: 'en-US' });
    const { page } = watched;
    await page.goto(`${url}/dashboard`);
    await page.locator('input[type=email]:focus').waitFor();
    t.equal(await page.title(), 'Sign in – Tokenledger');
    await page.keyboard.type(user.email);
    await page.keyboard.press('Tab');
    await page.keyboard.type(user.password);
    await page.keyboard.press('Tab');
    t.match(await page.locator(':focus').innerText(), /^Show/);
    await page.keyboard.press('Tab');
    t.equal(await page.locator(':focus').innerText(), 'Sign in');
    const token = nextToken(watched, '/api/auth/login');
    await page.keyboard.press('Enter');
    await shown(watched);
    t.equal(await page.locator(':focus').innerText(), 'Your usage', 'a screen reader goes on there');
    t.equal(await page.title(), 'Your usage – Tokenledger');
    t.ok(await page.getByText(user.email).isVisible());
    t.ok(await page.getByText('1,234 tokens').first().isVisible());
    t.notOk(await form(watched).isVisible());
    t.equal(await page.locator('input[type=password]').count(), 0);

    const kept = JSON.stringify([await stored(watched), await page.context().storageState()]);
    t.notOk(kept.includes(await token), 'the access token is in no storage');
    t.notOk(kept.includes(user.password));
    t.strictSame((await page.context().storageState()).cookies, []);
    assertClean(t, watched, url, user);
  });

  t.test('a wrong password is told in the words of the server, and can be put right', async (t) => {
    const user = await registerUser(server);
    const watched = await openPage(t, browser);
    const { page } = watched;
    await signIn(watched, url, { email: user.email, password: 'not the password' });
    await page.getByRole('alert').filter({ hasText: 'Wrong name, e-mail address or password' }).waitFor();
    t.strictSame(await stored(watched), {});
    t.equal(await page.getByLabel('E-mail address').inputValue(), user.email, 'what was typed is still there');
    await page.getByLabel('Password', { exact: true }).fill(user.password);
    const before = watched.requests.length;
    for (const key of ['Enter', 'Enter', 'Enter']) await page.keyboard.press(key);
    await shown(watched);
    const logins = watched.requests.slice(before).filter((request) => request.endsWith('/api/auth/login'));
    t.equal(logins.length, 1, 'impatience sends nothing twice');
    assertClean(t, watched, url, user);
  });

  t.test('an empty field is told at the field, and nothing is sent', async (t) => {
    const watched = await openPage(t, browser);
    const { page, requests } = watched;
    await page.goto(`${url}/dashboard`);
    await page.getByRole('button', { name: 'Sign in' }).click();
    const field = page.locator('input[type=email][aria-invalid=true]:focus');
    await field.waitFor();
    const problem = page.locator(`[id="${await field.getAttribute('aria-describedby')}"]`);
    t.equal(await problem.innerText(), 'Type your e-mail address.');
    await page.getByLabel('E-mail address').fill('somebody@example.com');
    await page.keyboard.press('Enter');
    await page.locator('input[type=password][aria-invalid=true]:focus').waitFor();
    t.equal(await page.locator('input[type=email]').getAttribute('aria-invalid'), null);
    t.notOk(requests.some((request) => request.startsWith('POST')));
  });

  t.test('loading the page again does not sign out, and uses a refresh token once', async (t) => {
    const user = await registerUser(server);
    const watched = await openDashboard(t, browser, url, user);
    const first = await refreshTokenIn(watched);
    await watched.page.reload();
    await shown(watched);
    t.ok(await watched.page.getByText(user.email).isVisible());
    t.equal(countRefreshes(watched), 1);
    const second = await refreshTokenIn(watched);
    t.not(second, first);
    await watched.page.reload();
    await shown(watched);
    t.equal(Object.keys(await stored(watched)).length, 1);
    assertClean(t, watched, url, user);
  });

  t.test('signing out ends the session on the server, and nothing of it stays', async (t) => {
    const user = await registerUser(server);
    await reportUse(user, [{ model: 'something to see' }]);
    const watched = await openPage(t, browser);
    const { page } = watched;
    await page.goto(`${url}/dashboard`);
    const login = nextToken(watched, '/api/auth/login');
    await signIn(watched, url, user);
    await shown(watched);
    const [token, refreshToken] = [await login, await refreshTokenIn(watched)];
    t.ok(await isAccepted(token));
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('status').filter({ hasText: 'You are signed out.' }).waitFor();
    t.notOk(await isAccepted(token), 'the access token is dead');
    t.notOk(await canRefresh(refreshToken), 'the refresh token is dead');
    t.strictSame(await stored(watched), {});
    t.notOk(await page.getByText(user.email).isVisible());
    await page.reload();
    await form(watched).waitFor();
    t.notOk((await page.content()).includes('something to see'));
    assertClean(t, watched, url, user);
  });

  t.test('who signs in next sees nothing of who was there before', async (t) => {
    const [one, other] = [await registerUser(server), await registerUser(server)];
    await reportUse(one, [{ model: 'model-of-one', provider: 'only-one' }]);
    const watched = await openDashboard(t, browser, url, one);
    await watched.page.getByRole('button', { name: 'Sign out' }).click();
    await form(watched).waitFor();
    await watched.page.getByLabel('E-mail address').fill(other.email);
    await watched.page.getByLabel('Password', { exact: true }).fill(other.password);
    await watched.page.keyboard.press('Enter');
    await shown(watched);
    await watched.page.getByText('No use in these days').waitFor();
    t.notOk((await watched.page.content()).includes('only-one'));
  });

  t.test('a session ended elsewhere leads to the form, and says why', async (t) => {
    const user = await registerUser(server);
    const watched = await openDashboard(t, browser, url, user);
    await user.as('POST', '/api/auth/logout', { all: true });
    await watched.page.getByText('Last 7 days', { exact: true }).click();
    await watched.page.getByRole('status').filter({ hasText: 'Your session has ended. Sign in again.' }).waitFor();
    t.equal(await watched.page.locator(':focus').getAttribute('type'), 'email');
    t.strictSame(await stored(watched), {});
    await signIn(watched, url, user);
    await shown(watched);
  });

  t.test('a copied tab and its original go on with one session', async (t) => {
    const user = await registerUser(server);
    const watched = await openDashboard(t, browser, url, user);
    const before = await stored(watched);
    const copy: WatchedPage = { ...watched, page: await watched.page.context().newPage() };
    await copy.page.goto(`${url}/dashboard`);
    await copy.page.evaluate(`Object.assign(sessionStorage, ${JSON.stringify(before)})`);
    await copy.page.reload();
    await shown(copy);
    const next = await refreshTokenIn(copy);
    t.not(next, Object.values(before)[0]);
    await until('the original knows', async () => (await refreshTokenIn(watched)) === next || undefined);
    await watched.page.reload();
    await shown(watched);
    await until('the copy knows', async () => (await refreshTokenIn(copy)) !== next || undefined);
    await copy.page.reload();
    await shown(copy);
  });

  t.test('an access token that has expired is renewed unseen, once for all who wait', async (t) => {
    const brief = await openTestServer(t, { database: server.database, environment: { JWT_EXPIRES_IN: '3s' } });
    const briefUrl = await brief.listen();
    const user = await registerUser(brief);
    await reportUse(user, [
      { sent: 10, daysAgo: 2 },
      { sent: 20, daysAgo: 20 },
    ]);
    const watched = await openPage(t, browser, { locale: 'en-US' });
    const login = nextToken(watched, '/api/auth/login');
    await signIn(watched, briefUrl, user);
    await shown(watched);
    const token = await login;
    await until('the token has expired', async () => {
      return (await sendWith(brief, token, 'GET', '/api/usage')).statusCode === 401 || undefined;
    });
    const renewedBefore = countRefreshes(watched);
    let refused = 0;
    watched.page.on('response', (response) => {
      if (response.status() === 401) refused += 1;
    });
    await chooseDays(watched, 7);
    t.ok(await watched.page.getByText('10 tokens').first().isVisible());
    const renewed = countRefreshes(watched) - renewedBefore;
    t.ok(renewed >= 1 && refused > renewed, `${refused} were refused, ${renewed} renewed`);
    t.notOk(await form(watched).isVisible());
    assertClean(t, watched, briefUrl, user);
  });

  t.test('the ledger verifies', (t) => server.verifyLedger(t));
}

t.end();
