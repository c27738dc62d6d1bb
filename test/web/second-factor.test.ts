import { randomUUID } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { registerUser, type TestUser } from '../helpers/accounts.js';
import { browserMissing, openBrowser, type WatchedPage } from '../helpers/http/browser.js';
import { openTestServer } from '../helpers/http/test-server.js';
import { findFreePort } from '../helpers/local-program.js';
import t, { type Test } from '../helpers/run/tap.js';
import { ADA, openGoogle } from '../helpers/sign-in.js';
import { enrolUser, forgetUsedCodes, showCode } from '../helpers/totp.js';
import { openConsole } from '../helpers/web/console.js';
import { assertAccessible, openView, signInAt, tabTo } from '../helpers/web/view.js';

const SCREENSHOTS = process.env['SCREENSHOTS'];

/** Asserts that what is shown is for everybody; with SCREENSHOTS set it is there to be looked at, too. */
async function look(t: Test, watched: WatchedPage, name: string): Promise<void> {
  if (SCREENSHOTS !== undefined) {
    await mkdir(SCREENSHOTS, { recursive: true });
    await watched.page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
  }
  await assertAccessible(t, watched, name);
}

if (browserMissing) t.plan(0, browserMissing);
else await testInBrowser(t);

async function testInBrowser(t: Test) {
  const google = await openGoogle(t);
  const port = await findFreePort();
  const url = `http://127.0.0.1:${port}`;
  const server = await openTestServer(t, { environment: { ...google.environment, PUBLIC_URL: url, SIGNUP: 'open' } });
  await server.app.listen({ host: '127.0.0.1', port });
  // The provider calls itself localhost.
  const browser = await openBrowser(t, ['MAP localhost 127.0.0.1']);

  const says = (page: Page, sentence: string | RegExp) =>
    page.getByRole('status').filter({ hasText: sentence }).first().waitFor();
  const card = (page: Page, name = 'Second factor') => page.getByRole('region', { name });
  const age = ({ id }: Pick<TestUser, 'id'>) =>
    server.database.sql(`update private.sessions set proved_at = now() - interval '5 minutes' where user_id = $1`, [
      id,
    ]);
  /** Types what a person signs in with, up to the second step. */
  const typePassword = async (page: Page, { email, password }: TestUser) => {
    await page.goto(`${url}/dashboard`);
    await page.locator('input[type=email]').fill(email);
    await page.locator('input[type=password]').fill(password);
    await page.keyboard.press('Enter');
    await page.locator('input[autocomplete=one-time-code]').waitFor();
  };
  const isIn = (page: Page) => page.getByRole('heading', { name: /^(Your usage|Ihre Nutzung)$/ }).waitFor();

  t.test('a person sets it up with a stale session, keeps the codes, renews them, and turns it off', async (t) => {
    const user = await registerUser(server);
    const watched = await openView(t, browser);
    const { page } = watched;
    await signInAt(watched, url, user);
    await age(user);
    await page.getByRole('link', { name: 'Account', exact: true }).click();
    const factor = card(page);
    await factor.getByText('off', { exact: true }).waitFor();
    await factor.getByRole('button', { name: 'Set it up' }).click();
    await page.getByRole('dialog').getByLabel('Password').fill(user.password);
    await page.keyboard.press('Enter');
    await factor.getByRole('img', { name: /QR code/ }).waitFor();
    await look(t, watched, 'factor-secret');
    const secret = await factor.getByLabel('Secret for the app').inputValue();
    t.match(await factor.getByRole('link', { name: /Open in an authenticator/ }).getAttribute('href'), secret);
    const code = factor.getByLabel('Code the app shows now');
    t.match(await code.getAttribute('autocomplete'), 'one-time-code');
    t.match(await code.getAttribute('inputmode'), 'numeric');
    await factor.getByRole('button', { name: 'Turn on' }).click();
    await factor.getByText('Type the code.').waitFor();
    await code.fill('000000');
    await page.keyboard.press('Enter');
    await factor.getByRole('alert').filter({ hasText: 'is wrong' }).waitFor();
    await code.fill(showCode(secret, -1));
    await page.keyboard.press('Enter');
    await says(page, 'The second factor is on.');
    t.equal(await page.evaluate('document.activeElement.textContent'), 'Recovery codes', 'which are read out');
    await look(t, watched, 'factor-codes');
    const codes = await factor.getByRole('listitem').allInnerTexts();
    t.equal(new Set(codes).size, 10);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      factor.getByRole('button', { name: 'Save as a file' }).click(),
    ]);
    const saved = await readFile(await download.path(), 'utf8');
    t.ok(codes.every((one) => saved.includes(one)) && saved.includes(user.email));
    await factor.getByRole('button', { name: 'I have kept them' }).click();
    await factor.getByText('10 recovery codes are left.').waitFor();
    t.notOk((await page.content()).includes(codes[0] ?? ''), 'they are gone');
    await look(t, watched, 'factor-on');

    await factor.getByRole('button', { name: 'New recovery codes' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Current password').fill('not the password');
    await dialog.getByLabel('Code of your second factor').fill(showCode(secret));
    await page.keyboard.press('Enter');
    await dialog.getByRole('alert').filter({ hasText: 'The current password is wrong' }).waitFor();
    await look(t, watched, 'factor-renew');
    await dialog.getByLabel('Current password').fill(user.password);
    await page.keyboard.press('Enter');
    await factor.getByRole('listitem').first().waitFor();
    t.notOk((await factor.getByRole('listitem').allInnerTexts()).includes(codes[0] ?? ''));
    const [next = ''] = await factor.getByRole('listitem').allInnerTexts();
    await factor.getByRole('button', { name: 'I have kept them' }).click();

    await factor.getByRole('button', { name: 'Turn off' }).click();
    await dialog.getByLabel('Current password').fill(user.password);
    await dialog.getByRole('button', { name: 'Use a recovery code' }).click();
    await dialog.getByLabel('Recovery code', { exact: true }).fill(next);
    await look(t, watched, 'factor-off');
    await dialog.getByRole('button', { name: 'Turn off' }).click();
    await says(page, 'The second factor is off.');
    await factor.getByText('off', { exact: true }).waitFor();
    t.strictSame(
      watched.complaints.filter((line) => !/401|403/.test(line)),
      [],
    );
  });

  t.test('signing in asks for the code as a second step, by the keyboard alone', async (t) => {
    const user = await registerUser(server);
    const { secret } = await enrolUser(user);
    const watched = await openView(t, browser);
    const { page } = watched;
    await typePassword(page, user);
    t.equal(await page.evaluate('document.activeElement.autocomplete'), 'one-time-code', 'where the focus is');
    await look(t, watched, 'step-code');
    await page.keyboard.type('000000');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').filter({ hasText: 'is wrong' }).waitFor();
    await tabTo(page, 'Begin again');
    await page.keyboard.press('Enter');
    await page.locator('input[type=password]').fill(user.password);
    await page.keyboard.press('Enter');
    await page.locator('input[autocomplete=one-time-code]').waitFor();
    await page.keyboard.type(showCode(secret));
    await page.keyboard.press('Enter');
    await isIn(page);
    await page.reload();
    await isIn(page);
  });

  t.test('a recovery code gets in, in German on a dark phone; a late one is told to begin again', async (t) => {
    const user = await registerUser(server);
    const { recoveryCodes } = await enrolUser(user);
    const watched = await openView(t, browser, { german: true, dark: true, phone: true });
    const { page } = watched;
    await typePassword(page, user);
    await page.getByRole('button', { name: 'Wiederherstellungscode verwenden' }).tap();
    await look(t, watched, 'step-recovery german on a dark phone');
    await server.database.sql('update private.sign_in_challenges set expires_at = now() where user_id = $1', [user.id]);
    const field = page.getByLabel('Wiederherstellungscode', { exact: true });
    t.equal(await field.getAttribute('inputmode'), null, 'letters can be typed');
    await field.fill(recoveryCodes[0] ?? '');
    await page.getByRole('button', { name: 'Anmelden' }).tap();
    await page.getByRole('alert').filter({ hasText: 'Beginnen Sie von vorn' }).waitFor();
    await look(t, watched, 'step-late german on a dark phone');
    await page.getByRole('button', { name: 'Von vorn beginnen' }).tap();
    await typePassword(page, user);
    await page.getByRole('button', { name: 'Wiederherstellungscode verwenden' }).tap();
    await field.fill(recoveryCodes[0] ?? '');
    await page.getByRole('button', { name: 'Anmelden' }).tap();
    await isIn(page);
    await page.goto(`${url}/dashboard#/account`);
    await page.getByText('9 Wiederherstellungscodes sind übrig.').waitFor();
    await look(t, watched, 'factor-on german on a dark phone');
  });

  t.test('coming back from Google asks for the code too', async (t) => {
    google.setPerson({ ...ADA, sub: '7', email: `${randomUUID()}@example.com` });
    const first = await openView(t, browser);
    await first.page.goto(`${url}/dashboard`);
    await first.page.getByRole('button', { name: 'Continue with Google' }).click();
    await isIn(first.page);
    await first.page.goto(`${url}/dashboard#/account`);
    const factor = card(first.page);
    await factor.getByRole('button', { name: 'Set it up' }).click();
    const secret = await factor.getByLabel('Secret for the app').inputValue();
    await factor.getByLabel('Code the app shows now').fill(showCode(secret, -1));
    await first.page.keyboard.press('Enter');
    await factor.getByRole('button', { name: 'I have kept them' }).click();

    const watched = await openView(t, browser);
    const { page } = watched;
    await page.goto(`${url}/dashboard`);
    await page.getByRole('button', { name: 'Continue with Google' }).click();
    await page.getByLabel('Code of your second factor').waitFor();
    await look(t, watched, 'step-google');
    await page.keyboard.type(showCode(secret));
    await page.keyboard.press('Enter');
    await isIn(page);
  });

  t.test('a key and an address need the code once the sign-in is a while ago', async (t) => {
    const user = await registerUser(server);
    const { secret, recoveryCodes } = await enrolUser(user);
    const watched = await openView(t, browser);
    const { page } = watched;
    await typePassword(page, user);
    await page.keyboard.type(showCode(secret));
    await page.keyboard.press('Enter');
    await isIn(page);
    await age(user);
    await page.goto(`${url}/dashboard#/keys`);
    await page.getByRole('button', { name: 'Create a key' }).first().click();
    await page.getByRole('dialog').getByLabel('Name').fill('Robot');
    await page.getByRole('dialog').getByRole('button', { name: 'Create a key' }).click();
    const proof = page.getByRole('dialog', { name: 'Is it you?' });
    await proof.getByLabel('Password').fill(user.password);
    await proof.getByRole('button', { name: 'Use a recovery code' }).click();
    await proof.getByLabel('Recovery code', { exact: true }).fill(recoveryCodes[0] ?? '');
    await look(t, watched, 'proof');
    await proof.getByRole('button', { name: 'Continue' }).click();
    t.match(await page.getByLabel('Key “Robot”').inputValue(), /^tlk_/);
    await forgetUsedCodes(server, user);
  });

  t.test('the console shows a QR code, who has a second factor, and takes away a lost one', async (t) => {
    const user = await registerUser(server);
    await enrolUser(user);
    const watched = await openConsole(t, browser, { server, url });
    const { page, visit } = watched;
    await visit(`/people/${user.id}`);
    await page.getByText('Second factor').first().waitFor();
    await look(t, watched, 'person');
    await page.getByRole('button', { name: 'Remove second factor' }).click();
    await look(t, watched, 'person-remove');
    await page.getByRole('dialog').getByRole('button', { name: 'Remove second factor' }).click();
    await says(page, `The second factor of ${user.email} is removed.`);
    await page.getByRole('button', { name: 'Remove second factor' }).waitFor({ state: 'detached' });

    await visit('/account');
    const factor = card(page);
    await factor.getByLabel('Current password').fill('not the password');
    await factor.getByRole('button', { name: 'Set it up' }).click();
    await factor.getByRole('alert').waitFor();
    await factor.getByLabel('Current password').fill('correct horse battery staple');
    await factor.getByRole('button', { name: 'Set it up' }).click();
    await factor.getByRole('img', { name: /QR code/ }).waitFor();
    await look(t, watched, 'console-secret');
    const secret = await factor.getByLabel('Secret for the app').inputValue();
    await factor.getByLabel('Code the app shows now').fill(showCode(secret));
    await factor.getByRole('button', { name: 'Turn on' }).click();
    await factor.getByRole('button', { name: 'I have kept them' }).waitFor();
    await look(t, watched, 'console-codes');
    await factor.getByRole('button', { name: 'I have kept them' }).click();
    await factor.getByRole('button', { name: 'Turn off' }).waitFor();
  });
}

t.end();
