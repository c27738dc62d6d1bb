import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { openStripe } from '../../helpers/fakes/stripe-server.js';
import { browserMissing, openBrowser } from '../../helpers/http/browser.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { openBusyPerson } from '../../helpers/web/busy-person.js';
import { isFocusVisible, openView, signInAt, tabTo } from '../../helpers/web/view.js';

if (browserMissing) t.plan(0, browserMissing);
else await testInBrowser(t);

async function testInBrowser(t: Test) {
  const stripe = await openStripe(t);
  const server = await openTestServer(t, { environment: stripe.environment });
  const url = await server.listen();
  const browser = await openBrowser(t);
  const user = await openBusyPerson(server, stripe);
  const watched = await openView(t, browser);
  const { page } = watched;
  await signInAt(watched, url, user);

  const go = (name: string) => page.getByRole('link', { name, exact: true }).click();
  const says = (page: Page, sentence: string) => page.getByRole('status').filter({ hasText: sentence }).waitFor();
  const button = (name: string | RegExp) => page.getByRole('button', { name });
  const dialog = page.getByRole('dialog');

  t.test('a device is renamed with the keyboard alone, and unlinked with the mouse', async (t) => {
    await go('Devices');
    await page.getByRole('heading', { name: 'Your devices' }).waitFor();
    await page.locator('h1:focus').waitFor();
    await tabTo(page, 'Rename: Ada’s phone');
    t.ok(await isFocusVisible(page));
    await page.keyboard.press('Enter');
    await dialog.waitFor();
    await tabTo(page, 'Name', 5);
    await page.keyboard.press('Control+A');
    await page.keyboard.type('Pocket');
    await page.keyboard.press('Enter');
    await says(page, 'The device is called Pocket now.');
    await page.getByRole('rowheader', { name: 'Pocket' }).waitFor();
    t.equal(await dialog.count(), 0);

    await button('Unlink: Pocket').click();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    await page.getByRole('rowheader', { name: 'Pocket' }).waitFor();
    await button('Unlink: Pocket').click();
    await dialog.getByRole('button', { name: 'Unlink', exact: true }).click();
    await says(page, 'Pocket is unlinked.');
    await page.getByRole('rowheader', { name: 'Pocket' }).waitFor({ state: 'detached' });
    t.match((await user.as('GET', '/api/users/me/devices')).json(), { devices: { length: 2 } });
  });

  t.test('an API key is made for what was chosen, shown once, and deleted', async (t) => {
    await go('API keys');
    await button('Create a key').first().click();
    await dialog.getByRole('button', { name: 'Create a key' }).click();
    t.match(await dialog.innerText(), 'Type a name.');
    await dialog.getByLabel('Name').fill('Robot');
    await dialog.getByLabel('Report use').uncheck();
    await dialog.getByLabel('Expires').selectOption('30');
    await dialog.getByRole('button', { name: 'Create a key' }).click();
    const secret = await dialog.getByLabel('Key “Robot”').inputValue();
    t.match(secret, /^tlk_/);
    const as = { authorization: `Bearer ${secret}` };
    t.equal((await server.app.inject({ url: '/api/usage', headers: as })).statusCode, 200);
    const write = { method: 'POST', url: '/api/usage', headers: as, payload: {} } as const;
    t.equal((await server.app.inject(write)).statusCode, 403, 'it opens no more');
    await dialog.getByRole('button', { name: 'Done' }).click();
    t.notOk((await page.content()).includes(secret));
    await page.getByRole('row', { name: /Robot.*Read use/ }).waitFor();
    await button('Delete: Robot').click();
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await says(page, 'Robot is deleted.');
    t.equal((await server.app.inject({ url: '/api/usage', headers: as })).statusCode, 401);
  });

  t.test('plans are side by side, and the subscription is changed, cancelled and kept', async (t) => {
    await go('Plan');
    const plan = (name: string) => page.getByRole('region', { name, exact: true });
    t.match(await plan('Pro').innerText(), /Your plan[\s\S]*\$\d+\.00 a month[\s\S]*5,000,000[\s\S]*25/);
    t.match(await plan('At a glance').innerText(), /Tokens your payments granted\s+5,000,000/);
    await button('Cancel the subscription').click();
    await dialog.getByRole('button', { name: 'Cancel the subscription' }).click();
    await page.getByText(/The subscription ends on/).waitFor();
    await button('Keep this plan').click();
    await dialog.getByRole('button', { name: 'Change the plan' }).click();
    await says(page, 'Your plan is Pro now.');
    await button('Choose Premium').click();
    await dialog.getByRole('button', { name: 'Change the plan' }).click();
    await says(page, 'Your plan is Premium now.');
    t.match(await plan('Premium').innerText(), 'Your plan');
    await page.route('https://billing.stripe.com/**', (route) => route.fulfill({ body: 'Stripe' }));
    await button('Invoices and payment').click();
    await page.waitForURL('https://billing.stripe.com/**').catch(() => undefined);
    await page.goto(`${url}/dashboard`);
  });

  t.test('settings are seen with their history, and an earlier version comes back', async (t) => {
    await go('Settings sync');
    t.match(await page.getByRole('region', { name: 'Settings in sync' }).innerText(), '"theme": "light"');
    await button('Restore: Version 2').click();
    t.match(await dialog.innerText(), '"theme": "dark"');
    await dialog.getByRole('button', { name: 'Restore' }).click();
    await says(page, 'Version 2 is restored.');
    await page.getByRole('region', { name: 'Settings in sync' }).getByText('"theme": "dark"').waitFor();
    t.match((await user.as('GET', '/api/users/me/settings')).json(), { version: 4, settings: { theme: 'dark' } });
  });

  t.test('profile, sessions and password are changed, and the data is saved', async (t) => {
    await go('Account');
    await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Ada Lovelace');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await says(page, 'Your name is saved.');
    t.match((await user.as('GET', '/api/users/me')).json(), { name: 'Ada Lovelace' });

    const [download] = await Promise.all([page.waitForEvent('download'), button('Save my data').click()]);
    t.match(JSON.parse(await readFile(await download.path(), 'utf8')), { profile: { name: 'Ada Lovelace' } });

    await page.getByRole('row', { name: /this one/ }).waitFor();
    await page.getByRole('row').filter({ hasText: 'lightMyRequest' }).getByRole('button').click();
    await says(page, 'That session has ended.');
    t.equal((await user.as('GET', '/api/users/me')).statusCode, 401);

    await page.getByLabel('Current password').fill('not the password');
    await page.getByLabel('New password').fill('another good passphrase');
    await button('Change password').click();
    await page.locator('[aria-invalid=true]:focus').waitFor();
    await page.getByLabel('Current password').fill(user.password);
    await button('Change password').click();
    await says(page, 'The password is changed.');
  });

  t.test('deleting the account asks for a word, and for a proof where the session is old', async (t) => {
    await server.database.sql(`update private.sessions set proved_at = now() - interval '1 hour' where user_id = $1`, [
      user.id,
    ]);
    await button('Delete the account').click();
    await dialog.getByRole('button', { name: 'Delete the account' }).click();
    t.match(await dialog.innerText(), `That is not ${user.email}.`);
    await dialog.getByLabel(/^Type/).fill(user.email);
    await dialog.getByRole('button', { name: 'Delete the account' }).click();
    const proof = page.getByRole('dialog', { name: 'Is it you?' });
    await proof.getByLabel('Password', { exact: true }).fill('another good passphrase');
    await proof.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    t.strictSame(await server.database.sql('select 1 from users where id = $1', [user.id]), []);
    t.strictSame(watched.complaints, []);
  });

  t.test('the ledger verifies', (t) => server.verifyLedger(t));
}

t.end();
