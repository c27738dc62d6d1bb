import { randomUUID } from 'node:crypto';
import { registerUser } from '../helpers/accounts.js';
import { logInAsAdmin } from '../helpers/admin.js';
import { openSmtpServer } from '../helpers/fakes/smtp-server.js';
import { browserMissing, openBrowser, openPage, type WatchedPage } from '../helpers/http/browser.js';
import { openTestServer } from '../helpers/http/test-server.js';
import { mailEnvironment } from '../helpers/password-reset.js';
import t, { type Test } from '../helpers/run/tap.js';
import { mailedLink } from '../helpers/sign-up.js';

if (browserMissing) t.plan(0, browserMissing);
else await testInBrowser(t);

async function testInBrowser(t: Test) {
  const smtp = await openSmtpServer(t);
  const server = await openTestServer(t, { environment: { ...mailEnvironment(smtp), SIGNUP: 'invite' } });
  const open = await openTestServer(t, {
    database: server.database,
    environment: { ...mailEnvironment(smtp), SIGNUP: 'verified' },
  });
  const admin = await logInAsAdmin(server);
  const url = await server.listen();
  const browser = await openBrowser(t);
  const heading = ({ page }: WatchedPage, text: string) => page.getByRole('heading', { name: text }).waitFor();
  const assertClean = (t: Test, { complaints, requests }: WatchedPage, secret: string) => {
    t.strictSame(complaints, [], 'nothing in the console');
    t.ok(
      requests.every((request) => request.includes(` ${url}/`)),
      'no request to another host',
    );
    t.notOk(requests.join().includes(secret), 'the secret is in no address');
  };

  t.test('a mailed link verifies an address when the person says that it is theirs, and not before', async (t) => {
    const user = await registerUser(open);
    const token = await mailedLink(smtp, user.email);
    const watched = await openPage(t, browser);
    const { page } = watched;
    await page.goto(`${url}/verify-email#token=${token}`);
    await page.waitForURL(`${url}/verify-email`);
    await page.locator('button:focus', { hasText: 'Yes, verify my address' }).waitFor();
    t.match((await user.as('GET', '/api/users/me')).json(), { email_verified: false });
    await page.keyboard.press('Enter');
    await heading(watched, 'Your address is verified');
    t.match((await user.as('GET', '/api/users/me')).json(), { email_verified: true });
    assertClean(t, watched, token);
    await page.goto(`${url}/verify-email#token=${token}`);
    await page.getByRole('button', { name: 'Yes, verify my address' }).click();
    await heading(watched, 'This link does not work');
  });

  t.test('an invitation to an address asks for a password and makes the account', async (t) => {
    const email = `${randomUUID()}@example.com`;
    const { link, code } = (await admin.as('POST', '/api/admin/invitations', { email })).json();
    const watched = await openPage(t, browser);
    const { page } = watched;
    await page.goto(`${url}/invitation${new URL(link).hash}`);
    await page.waitForURL(`${url}/invitation`);
    t.equal(await page.getByLabel('E-mail address').inputValue(), email);
    t.equal(await page.locator(':focus').getAttribute('autocomplete'), 'new-password');
    const password = 'correct horse battery staple';
    await page.keyboard.type(password);
    await page.keyboard.press('Enter');
    await heading(watched, 'Your account is ready');
    const login = await server.app.inject({ method: 'POST', url: '/api/auth/login', payload: { email, password } });
    t.equal(login.statusCode, 200);
    assertClean(t, watched, code);
  });

  t.test('links that lack what they should carry say so', async (t) => {
    for (const name of ['verify-email', 'invitation']) {
      const watched = await openPage(t, browser);
      await watched.page.goto(`${url}/${name}`);
      await heading(watched, 'This link is incomplete');
    }
  });
}

t.end();
