import { registerUser } from '../helpers/accounts.js';
import { openSmtpServer } from '../helpers/fakes/smtp-server.js';
import { browserMissing, openBrowser, openPage, type WatchedPage } from '../helpers/http/browser.js';
import { openTestServer } from '../helpers/http/test-server.js';
import { mailEnvironment, mailedToken, NEW_PASSWORD } from '../helpers/password-reset.js';
import t, { type Test } from '../helpers/run/tap.js';

if (browserMissing) t.plan(0, browserMissing);
else await testInBrowser(t);

async function testInBrowser(t: Test) {
  const smtp = await openSmtpServer(t);
  const server = await openTestServer(t, { environment: mailEnvironment(smtp) });
  const url = await server.listen();
  const browser = await openBrowser(t);

  /** A link such as a person of their own would have been mailed. */
  const mailedLink = async () => {
    const user = await registerUser(server);
    const token = await mailedToken(server.app, smtp, user.email);
    return { user, token, link: `${url}/reset-password#token=${token}` };
  };
  const logInStatus = async (email: string, password: string) => {
    const payload = { email, password };
    return (await server.app.inject({ method: 'POST', url: '/api/auth/login', payload })).statusCode;
  };
  const focused = ({ page }: WatchedPage) => page.locator(':focus').innerText();
  const press = async ({ page }: WatchedPage, ...keys: string[]) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const heading = ({ page }: WatchedPage, text: string) => page.getByRole('heading', { name: text }).waitFor();
  const field = ({ page }: WatchedPage) => page.getByLabel('New password', { exact: true });
  /** Types the password and submits. */
  const submit = async (watched: WatchedPage, password: string) => {
    await watched.page.locator('input:focus').waitFor();
    await press(watched, 'Control+A');
    await watched.page.keyboard.type(password);
    await press(watched, 'Enter');
  };
  /** What a screen reader says with a field, once it is known to be wrong. */
  const readProblem = async ({ page }: WatchedPage) => {
    const wrong = page.locator('[aria-invalid=true]:focus');
    await wrong.waitFor();
    const ids = (await wrong.getAttribute('aria-describedby'))?.split(' ') ?? [];
    return page.locator(`[id="${ids.at(-1)}"]`).textContent();
  };
  const assertClean = (t: Test, { complaints, requests }: WatchedPage, token: string) => {
    t.strictSame(complaints, [], 'nothing in the console');
    t.ok(
      requests.length > 2 && requests.every((request) => request.includes(` ${url}/`)),
      'no request to another host',
    );
    t.notOk(requests.join().includes(token), 'the token is in no address');
  };

  t.test('the keyboard is enough to set a new password', async (t) => {
    const { user, token, link } = await mailedLink();
    const watched = await openPage(t, browser);
    const { page } = watched;
    await page.goto(link);
    await page.waitForURL(`${url}/reset-password`);
    await page.locator('input[autocomplete=new-password]:focus').waitFor();
    await page.keyboard.type(NEW_PASSWORD);
    await press(watched, 'Tab');
    t.match(await focused(watched), /^Show/);
    t.equal(await field(watched).getAttribute('type'), 'password');
    await press(watched, 'Space');
    t.equal(await field(watched).getAttribute('type'), 'text');
    await press(watched, 'Tab');
    t.equal(await focused(watched), 'Set password');
    await press(watched, 'Enter');
    await heading(watched, 'Your password is set');
    t.equal(await focused(watched), 'Your password is set', 'a screen reader goes on there');
    t.equal(await page.title(), 'Your password is set – Tokenledger');
    t.notOk((await page.content()).includes(NEW_PASSWORD), 'the password does not stay in the page');
    t.equal(await logInStatus(user.email, NEW_PASSWORD), 200);
    await page.getByLabel('E-mail address').fill(user.email);
    await page.getByLabel('Password', { exact: true }).fill(NEW_PASSWORD);
    await press(watched, 'Enter');
    await page.waitForURL(`${url}/dashboard`);
    await heading(watched, 'Your usage');
    assertClean(t, watched, token);
  });

  t.test('what is wrong is said at its field, and can be put right', async (t) => {
    const { user, token, link } = await mailedLink();
    const watched = await openPage(t, browser);
    await watched.page.goto(link);
    await watched.page.locator('input[autocomplete=new-password]:focus').waitFor();
    await press(watched, 'Enter');
    t.match(await readProblem(watched), 'at least 8');
    await submit(watched, 'seven 7');
    t.match(await readProblem(watched), 'at least 8');
    await submit(watched, 'x'.repeat(257));
    t.match(await readProblem(watched), 'at most 256');
    t.notOk(
      watched.requests.some((request) => request.startsWith('POST')),
      'none of it was sent',
    );
    await submit(watched, 'password123');
    t.match(await readProblem(watched), 'too common', "the server's own sentence");
    await submit(watched, NEW_PASSWORD);
    await heading(watched, 'Your password is set');
    t.equal(await logInStatus(user.email, NEW_PASSWORD), 200);
    assertClean(t, watched, token);
  });

  t.test('a link that was used says so, and a new one can be opened in the same page', async (t) => {
    const { user, token, link } = await mailedLink();
    const payload = { token, new_password: 'set from somewhere else' };
    await server.app.inject({ method: 'POST', url: '/api/auth/reset-password', payload });
    const watched = await openPage(t, browser);
    await watched.page.goto(link);
    await submit(watched, NEW_PASSWORD);
    await heading(watched, 'This link does not work');
    await watched.page.getByText('It was used already or has expired.').waitFor();
    t.equal(
      await watched.page.getByRole('link', { name: 'Ask for a new link' }).getAttribute('href'),
      'forgot-password',
    );
    t.notOk(await watched.page.locator('form').isVisible());
    t.equal(await logInStatus(user.email, NEW_PASSWORD), 401);

    const newer = await mailedToken(server.app, smtp, user.email);
    await watched.page.goto(`${url}/reset-password#token=${newer}`);
    await watched.page.waitForURL(`${url}/reset-password`);
    await watched.page.locator('input[autocomplete=new-password]:focus').waitFor();
    await submit(watched, NEW_PASSWORD);
    await heading(watched, 'Your password is set');
    t.equal(await logInStatus(user.email, NEW_PASSWORD), 200);
    assertClean(t, watched, newer);
  });

  t.test('a link without its token is incomplete', async (t) => {
    for (const address of ['/reset-password', '/reset-password#', '/reset-password#token=']) {
      const watched = await openPage(t, browser);
      await watched.page.goto(`${url}${address}`);
      await heading(watched, 'This link is incomplete');
      t.notOk(await watched.page.locator('form').isVisible(), address);
      await watched.page.getByText('Open the whole link from your mail').waitFor();
      t.strictSame(watched.complaints, []);
    }
  });

  t.test('without a connection nothing is lost, and impatience sends nothing twice', async (t) => {
    const { user, link } = await mailedLink();
    const watched = await openPage(t, browser);
    const { page, requests } = watched;
    await page.goto(link);
    // What the page says is loaded last.
    await field(watched).waitFor();
    await page.context().setOffline(true);
    await submit(watched, NEW_PASSWORD);
    await page.getByRole('alert').filter({ hasText: 'did not answer' }).waitFor();
    t.equal(await field(watched).inputValue(), NEW_PASSWORD);
    await page.context().setOffline(false);
    const before = requests.length;
    await press(watched, 'Enter', 'Enter', 'Enter');
    await heading(watched, 'Your password is set');
    t.equal(requests.slice(before).filter((request) => request.startsWith('POST')).length, 1);
    t.equal(await logInStatus(user.email, NEW_PASSWORD), 200);
  });

  t.test('without JavaScript the page says what it needs, and sends nothing', async (t) => {
    const watched = await openPage(t, browser, { javaScriptEnabled: false });
    await watched.page.goto(`${url}/reset-password#token=x`);
    await watched.page.getByText('needs JavaScript').waitFor();
    t.notOk(await watched.page.locator('form').isVisible());
  });

  t.test('the ledger verifies', (t) => server.verifyLedger(t));
}

t.end();
