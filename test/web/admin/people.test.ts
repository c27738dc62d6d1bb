import { registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { browserMissing, openBrowser } from '../../helpers/http/browser.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { enrolAdmin, showCode } from '../../helpers/totp.js';
import { openConsole, readRows, typeSignIn } from '../../helpers/web/console.js';
import { openView } from '../../helpers/web/view.js';

t.test('who may do what in the console, and what is done with people', { skip: browserMissing }, async (t) => {
  const server = await openTestServer(t);
  const url = await server.listen();
  const browser = await openBrowser(t);
  const place = { server, url };
  const admin = await logInAsAdmin(server);
  const ada = await registerUser(server, { email: 'ada@example.com' });
  const read = async () => (await admin.as('GET', `/api/admin/users/${ada.id}`)).json();

  await t.test(
    'a wrong password is a sentence, a second factor is asked for, and a reload keeps the session',
    async (t) => {
      const { secret } = await enrolAdmin(server, 'grace');
      const { page } = await openView(t, browser);
      await page.goto(`${url}/admin`);
      await typeSignIn(page, 'grace', 'not the password');
      t.equal(await page.getByRole('alert').innerText(), 'Wrong name, e-mail address or password.');
      await typeSignIn(page, 'grace');
      await page.getByLabel('Code of your second factor').fill(showCode(secret));
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.getByRole('heading', { name: 'Overview' }).waitFor();
      await page.reload();
      await page.getByRole('heading', { name: 'Overview' }).waitFor();
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByRole('heading', { name: 'Console' }).waitFor();
      await page.reload();
      await page.getByRole('heading', { name: 'Console' }).waitFor();
    },
  );

  await t.test('viewers see all and are offered nothing, operators act, owners manage admins', async (t) => {
    const viewer = await openConsole(t, browser, place, { username: 'vera', role: 'viewer' });
    for (const path of ['/people', `/people/${ada.id}`, '/prices', '/budget', '/plans', '/webhooks', '/invitations']) {
      await viewer.visit(path);
      const buttons = await viewer.page.locator('main').getByRole('button').allInnerTexts();
      t.strictSame(
        buttons.filter((text) => !/[↑↓↕]/.test(text)),
        [],
        path,
      );
      t.equal(await viewer.page.locator('main').getByRole('checkbox').count(), 0, path);
    }
    const operator = await openConsole(t, browser, place, { username: 'otto', role: 'operator' });
    t.equal(await operator.page.getByRole('link', { name: 'Admins' }).count(), 0);
    await operator.visit(`/people/${ada.id}`);
    t.ok(await operator.page.getByRole('button', { name: 'Suspend' }).isVisible());
    await operator.visit('/webhooks');
    t.equal(await operator.page.getByRole('button', { name: 'Add a webhook' }).count(), 0);
    const owner = await openConsole(t, browser, place);
    await owner.visit('/admins');
    await owner.page.getByRole('button', { name: 'Add an admin' }).click();
    await owner.page.getByLabel('User name').fill('heidi');
    await owner.page.getByLabel('Password', { exact: true }).fill('correct horse battery');
    await owner.page.getByLabel('Role').selectOption('operator');
    await owner.page.getByRole('button', { name: 'Save' }).click();
    await owner.page.getByText('heidi is an admin.').waitFor();
    await owner.page.getByRole('row', { name: /heidi.*Operator/ }).waitFor();
  });

  await t.test('a person is given a plan and tokens, suspended, let go on and signed out', async (t) => {
    const { page, visit } = await openConsole(t, browser, place);
    await visit('/people?q=ada');
    await page.getByRole('link', { name: 'ada@example.com' }).click();
    const dialog = page.getByRole('dialog');
    await page.getByRole('button', { name: 'Give a plan' }).click();
    await dialog.getByLabel('Plan').selectOption('premium');
    await dialog.getByRole('button', { name: 'Give a plan' }).click();
    await page.getByText('ada@example.com has the plan Premium.').waitFor();
    await page.getByRole('button', { name: 'Give or move tokens' }).click();
    await dialog.getByLabel('Tokens', { exact: true }).fill('250');
    await dialog.getByRole('button', { name: 'Give', exact: true }).click();
    await dialog.getByText('Done. It is in the books.').waitFor();
    await dialog.getByRole('button', { name: 'Close' }).last().click();
    await page.getByRole('button', { name: 'Suspend' }).click();
    await dialog.getByRole('button', { name: 'Suspend' }).click();
    await page.getByText('ada@example.com is suspended.').waitFor();
    t.match(await read(), { tier: 'premium', total_tokens: 1_000_250 });
    await page.getByRole('button', { name: 'Reinstate' }).click();
    await dialog.getByRole('button', { name: 'Reinstate' }).click();
    await page.getByText('ada@example.com is reinstated.').waitFor();
    await page.getByRole('button', { name: 'End sessions' }).click();
    await dialog.getByRole('button', { name: 'End sessions' }).click();
    await page.getByText('1 session has ended.').waitFor();
    t.match(await read(), { suspended_at: null, sessions: 0 });
  });

  await t.test('somebody is invited with a link that is shown once, auf Deutsch', async (t) => {
    const { page, visit } = await openConsole(t, browser, place, { look: { german: true, phone: true } });
    await visit('/invitations');
    await page.getByRole('button', { name: 'Jemanden einladen' }).click();
    await page.getByLabel('Token', { exact: true }).fill('5.000');
    await page.getByRole('button', { name: 'Link erstellen' }).click();
    const link = await page.getByLabel('Link', { exact: true }).inputValue();
    t.match(link, /\/invitation#code=/);
    await page.getByRole('dialog').getByRole('button', { name: 'Schließen' }).last().click();
    await page.getByText('alle mit dem Link').waitFor();
    t.match(await page.getByRole('table', { name: 'Einladungen' }).innerText(), '5.000');
  });

  await t.test('alerts are changed, and a webhook shows its secret once', async (t) => {
    const { page, visit } = await openConsole(t, browser, place);
    await visit('/webhooks');
    await page.getByRole('button', { name: 'Change the alerts' }).click();
    await page.getByLabel('Thresholds of devices').fill('50, 90');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('50%, 90%').waitFor();
    await page.getByRole('button', { name: 'Add a webhook' }).click();
    await page.getByLabel('Address').fill('https://example.com/hooks');
    await page.getByLabel('A device was blocked').uncheck();
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    t.match(await page.getByLabel('Secret', { exact: true }).inputValue(), /^whsec_/);
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click();
    await page.getByRole('link', { name: 'https://example.com/hooks' }).waitFor();
    t.notMatch((await readRows(page, 'Webhooks'))[0]?.[1], /device\.blocked/);
    t.match((await admin.as('GET', '/api/admin/alerts')).json(), { device_thresholds: [50, 90] });
  });

  await t.test('what is off says which variable is missing, and no secret is shown', async (t) => {
    const { page, visit } = await openConsole(t, browser, place);
    await visit('/settings');
    t.match(
      await page.getByRole('row', { name: /^Chat with language models/ }).innerText(),
      'Not set: OPENROUTER_API_KEY',
    );
    t.notMatch(await page.locator('main').innerText(), /postgres(ql)?:\/\//);
  });

  await t.test('an account goes only when its address is typed', async (t) => {
    const { page, visit } = await openConsole(t, browser, place);
    await visit(`/people/${ada.id}`);
    await page.getByRole('button', { name: 'Delete' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Type ada@example.com to confirm').fill('ada@example.com');
    await dialog.getByRole('button', { name: 'Delete' }).click();
    await page.getByText('ada@example.com is deleted.').waitFor();
    t.equal((await admin.as('GET', `/api/admin/users/${ada.id}`)).statusCode, 404);
  });

  await server.verifyLedger(t);
});

t.end();
