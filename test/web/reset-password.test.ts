import { registerUser } from '../helpers/accounts.js';
import { openSmtpServer } from '../helpers/fakes/smtp-server.js';
import { browserMissing, contrastsOn, openBrowser, openPage, type WatchedPage } from '../helpers/http/browser.js';
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
  const focused = ({ page }: WatchedPage) => page.locator(':focus').getAttribute('id');
  const press = async ({ page }: WatchedPage, ...keys: string[]) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const heading = ({ page }: WatchedPage, text: string) => page.getByRole('heading', { name: text }).waitFor();
  /** Types both passwords, beginning in the first field, and submits. */
  const submit = async (watched: WatchedPage, password: string, repetition = password) => {
    await press(watched, 'Control+A');
    await watched.page.keyboard.type(password);
    await press(watched, 'Tab', 'Control+A');
    await watched.page.keyboard.type(repetition);
    await press(watched, 'Enter');
  };
  /** What a screen reader says with a field, once it is known to be wrong. */
  const readProblem = async ({ page }: WatchedPage, id: string) => {
    await page.locator(`#${id}[aria-invalid=true]:focus`).waitFor();
    const ids = (await page.locator(`#${id}`).getAttribute('aria-describedby'))?.split(' ') ?? [];
    return page.locator(`#${ids.at(-1)}`).textContent();
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
    t.equal(await focused(watched), 'password', 'it begins where there is something to type');
    await page.keyboard.type(NEW_PASSWORD);
    await press(watched, 'Tab');
    t.equal(await focused(watched), 'repetition');
    await page.keyboard.type(NEW_PASSWORD);
    await press(watched, 'Tab');
    t.equal(await focused(watched), 'reveal');
    t.equal(await page.getByLabel('New password').getAttribute('type'), 'password');
    await press(watched, 'Space');
    t.equal(await page.getByLabel('New password').getAttribute('type'), 'text');
    t.equal(await page.getByLabel('The same password again').getAttribute('type'), 'text');
    await press(watched, 'Tab');
    t.equal(await focused(watched), 'submit');
    await press(watched, 'Enter');
    await heading(watched, 'Your password is set');
    t.equal(await focused(watched), 'heading', 'a screen reader goes on there');
    t.match(await page.getByRole('status').textContent(), /Log in again/);
    t.equal(await page.title(), 'Your password is set');
    t.notOk(await page.getByLabel('New password').isVisible());
    t.equal(await page.locator('#password').inputValue(), '', 'the password does not stay in the page');
    t.equal(await logInStatus(user.email, NEW_PASSWORD), 200);
    assertClean(t, watched, token);
  });

  t.test('what is wrong is said at its field, and can be put right', async (t) => {
    const { user, token, link } = await mailedLink();
    const watched = await openPage(t, browser);
    await watched.page.goto(link);
    await press(watched, 'Enter');
    t.match(await readProblem(watched, 'password'), 'at least 8');
    await submit(watched, 'seven 7');
    t.match(await readProblem(watched, 'password'), 'at least 8');
    await submit(watched, 'x'.repeat(257));
    t.match(await readProblem(watched, 'password'), 'at most 256');
    await submit(watched, NEW_PASSWORD, `${NEW_PASSWORD}!`);
    t.match(await readProblem(watched, 'repetition'), 'not the same');
    t.equal(await watched.page.locator('#password').getAttribute('aria-invalid'), null);
    t.notOk(
      watched.requests.some((request) => request.startsWith('POST')),
      'none of it was sent',
    );
    await press(watched, 'Shift+Tab');
    await submit(watched, 'password123');
    t.match(await readProblem(watched, 'password'), 'too common', "the server's own sentence");
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
    t.match(await watched.page.getByRole('status').textContent(), /used already or has expired\. Ask for a new one/);
    t.notOk(await watched.page.locator('form').isVisible());
    t.equal(await logInStatus(user.email, NEW_PASSWORD), 401);

    const newer = await mailedToken(server.app, smtp, user.email);
    await watched.page.goto(`${url}/reset-password#token=${newer}`);
    await watched.page.waitForURL(`${url}/reset-password`);
    await watched.page.locator('#password:focus').waitFor();
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
      t.match(await watched.page.getByRole('status').textContent(), /whole link/);
      t.strictSame(watched.complaints, []);
    }
  });

  t.test('without a connection nothing is lost, and impatience sends nothing twice', async (t) => {
    const { user, link } = await mailedLink();
    const watched = await openPage(t, browser);
    const { page, requests } = watched;
    await page.goto(link);
    await page.context().setOffline(true);
    await submit(watched, NEW_PASSWORD);
    await page.getByRole('status').filter({ hasText: 'did not answer' }).waitFor();
    t.equal(await page.locator('#repetition').inputValue(), NEW_PASSWORD);
    await page.context().setOffline(false);
    const before = requests.length;
    await press(watched, 'Enter', 'Enter', 'Enter');
    await heading(watched, 'Your password is set');
    t.equal(requests.length - before, 1);
    t.equal(await logInStatus(user.email, NEW_PASSWORD), 200);
  });

  t.test('in light and in dark, wide and narrow, everything can be read and nothing hangs over', async (t) => {
    const backgrounds = new Set<string>();
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const width of [1200, 320]) {
        const watched = await openPage(t, browser, { colorScheme, viewport: { width, height: 800 } });
        const { page } = watched;
        await page.goto(`${url}/reset-password#token=x`);
        await submit(watched, NEW_PASSWORD, 'another');
        await readProblem(watched, 'repetition');
        const contrasts = await contrastsOn(page);
        t.ok(contrasts.length >= 8, 'texts, fields and buttons were found');
        t.strictSame(
          contrasts.filter(({ ratio }) => ratio < 4.5),
          [],
          `${colorScheme}, ${width} wide`,
        );
        backgrounds.add(await page.evaluate<string>('getComputedStyle(document.body).backgroundColor'));
        const overhang = await page.evaluate<number>('document.documentElement.scrollWidth - window.innerWidth');
        t.ok(overhang <= 0, 'nothing hangs over the edge');
      }
    }
    t.equal(backgrounds.size, 2, 'dark is dark');
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
