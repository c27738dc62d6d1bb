import { readFile } from 'node:fs/promises';
import { logInAsAdmin, type TestAdmin } from '../../helpers/admin.js';
import { meetAtLock, poolLock } from '../../helpers/db/meet-at-lock.js';
import { browserMissing, openBrowser } from '../../helpers/http/browser.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { openConsole, readRows, settle, typeSignIn } from '../../helpers/web/console.js';
import { tabTo } from '../../helpers/web/view.js';

t.test('what admins do with devices, budgets and prices', { skip: browserMissing }, async (t) => {
  const server = await openTestServer(t);
  const url = await server.listen();
  const browser = await openBrowser(t);
  const place = { server, url };
  const admin: TestAdmin = await logInAsAdmin(server);
  const named = async (name: string, tokens = 50) => {
    const device = await server.registerDevice(tokens);
    await admin.as('PATCH', `/api/admin/devices/${device.id}`, { name });
    return device;
  };
  const laptop = await named('Laptop');
  const tablet = await named('Tablet');
  const phone = await named('Phone', 3);
  const read = async (id: string) => (await admin.as('GET', `/api/admin/devices/${id}`)).json();

  await t.test('tokens are given, seen before and after, and undone by a counter-entry', async (t) => {
    const { page, visit, complaints } = await openConsole(t, browser, place);
    await visit('/devices');
    await page.getByLabel('Search').fill('lap');
    await page.getByText('1 device', { exact: true }).waitFor();
    await page.getByRole('link', { name: 'Laptop' }).click();
    await page.getByRole('heading', { name: 'Laptop' }).waitFor();
    await page.getByRole('button', { name: 'Give or move tokens' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Give', exact: true }).click();
    t.equal(await dialog.locator('.error').innerText(), 'Enter a whole number, such as 1,000.');
    await dialog.getByLabel('Tokens', { exact: true }).fill('1,000');
    t.strictSame(await readRows(page, 'Tokens that will be left'), [['Laptop', '50', '1,050']]);
    await dialog.getByRole('button', { name: 'Give', exact: true }).click();
    await dialog.getByText('Done. It is in the books.').waitFor();
    t.strictSame(await readRows(page, 'Tokens left'), [['Laptop', '50', '1,050']]);
    t.match(await dialog.innerText(), /Ledger entry [0-9a-f]{8}/);
    await dialog.getByRole('button', { name: 'Undo' }).click();
    await page.getByText('Undone by a counter-entry.').waitFor();
    await settle(page);
    const ledger = await readRows(page, 'Ledger');
    t.match(ledger[0], [/Taken back/, '-1,000', 'admin:root']);
    t.match(ledger[1], [/Given\s+Undone/, '+1,000', 'admin:root']);
    t.match(await read(laptop.id), { allocated: 50 });
    t.strictSame(complaints, []);
  });

  await t.test('more than there is cannot be taken back, and a sentence says so', async (t) => {
    const { page, visit } = await openConsole(t, browser, place);
    await visit(`/devices/${phone.id}`);
    await page.getByRole('button', { name: 'Give or move tokens' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.locator('label', { hasText: 'Take back' }).click();
    await dialog.getByLabel('Tokens', { exact: true }).fill('4');
    await dialog.getByRole('button', { name: 'Take back', exact: true }).click();
    t.match(await dialog.getByRole('alert').innerText(), 'Insufficient tokens.');
    t.match(await read(phone.id), { allocated: 3 });
  });

  await t.test('tokens are moved with the keyboard alone, and both balances are shown', async (t) => {
    const { page, visit } = await openConsole(t, browser, place);
    await visit(`/devices/${tablet.id}`);
    await page.evaluate('document.activeElement.blur()');
    await tabTo(page, 'Give or move tokens');
    await page.keyboard.press('Enter');
    // The dialog begins with the number; what to do with it is chosen before that.
    await page.locator('dialog input[inputmode="numeric"]:focus').waitFor();
    await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await tabTo(page, 'Tokens');
    await page.keyboard.type('5');
    await tabTo(page, 'Search');
    await page.keyboard.type('phone');
    await page.getByRole('radio', { name: /^Phone/ }).waitFor();
    await page.getByRole('radio', { name: /^Laptop/ }).waitFor({ state: 'detached' });
    await tabTo(page, /^Phone/);
    await page.keyboard.press('Space');
    await tabTo(page, 'Move');
    await page.keyboard.press('Enter');
    await page.getByText('Done. It is in the books.').waitFor();
    t.strictSame(await readRows(page, 'Tokens left'), [
      ['Tablet', '50', '45'],
      ['Phone', '3', '8'],
    ]);
    t.match(await read(phone.id), { allocated: 8 });
    await tabTo(page, 'Close');
    await page.keyboard.press('Escape');
    t.match((await readRows(page, 'Ledger'))[0], [/Moved\s+to/, '-5']);
  });

  await t.test('a device is renamed, blocked and let go on, each said in a sentence', async (t) => {
    const { page, visit } = await openConsole(t, browser, place, { look: { phone: true } });
    await visit(`/devices/${tablet.id}`);
    await page.getByRole('button', { name: 'Rename' }).click();
    await page.getByLabel('Name', { exact: true }).fill('Old tablet');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('heading', { name: 'Old tablet' }).waitFor();
    await page.getByRole('button', { name: 'Block' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Block' }).click();
    await page.getByText('Old tablet is blocked.').waitFor();
    await page.getByRole('button', { name: 'Unblock' }).waitFor();
    t.match(await read(tablet.id), { name: 'Old tablet', blocked: true });
    t.equal((await server.as(tablet, 'GET', `/api/devices/${tablet.id}/tokens`)).statusCode, 403);
  });

  await t.test('many are changed after a preview, or none', async (t) => {
    const { page, visit } = await openConsole(t, browser, place);
    await visit('/devices?sort=name');
    await page.getByLabel('Select all that are shown').check();
    await page.getByText('3 selected').waitFor();
    const act = async (tokens: string) => {
      await page.getByRole('button', { name: 'Give or take tokens' }).click();
      await page.getByLabel('Tokens for each').fill(tokens);
      await page.getByRole('button', { name: 'Preview' }).click();
      await page.getByRole('table', { name: 'Each of them' }).waitFor();
    };
    await act('-10');
    const refused = (await readRows(page, 'Each of them')).sort();
    t.strictSame(refused, [
      ['Laptop', '50', '40', 'Can be done'],
      ['Old tablet', '45', '35', 'Can be done'],
      ['Phone', '8', '–', 'Too few left'],
    ]);
    t.ok(await page.getByRole('button', { name: 'Do it for all 3' }).isDisabled());
    await page.getByRole('button', { name: 'Cancel' }).click();
    t.match(await read(laptop.id), { allocated: 50 });
    await act('10');
    await page.getByRole('button', { name: 'Do it for all 3' }).click();
    await page.getByText('Done for all 3.').waitFor();
    for (const row of await readRows(page, 'Each of them')) t.match(row[3], /^[0-9a-f]{8}…$/, 'its ledger entry');
    t.match(await read(laptop.id), { allocated: 60 });
  });

  await t.test('a device goes only when its name is typed', async (t) => {
    const { page, visit } = await openConsole(t, browser, place);
    await visit(`/devices/${phone.id}`);
    await page.getByRole('button', { name: 'Remove' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Type Phone to confirm').fill('phone');
    await dialog.getByRole('button', { name: 'Remove' }).click();
    t.equal(await dialog.locator('.error').innerText(), 'That is not Phone.');
    await dialog.getByLabel('Type Phone to confirm').fill('Phone');
    await dialog.getByRole('button', { name: 'Remove' }).click();
    await page.getByText('Phone is removed; 18 tokens went back to the pool.').waitFor();
    await page.getByRole('heading', { name: 'Devices' }).waitFor();
  });

  await t.test('the budget and a reset are previewed, and done when a word is typed', async (t) => {
    const { page, visit } = await openConsole(t, browser, place);
    await visit('/budget');
    await page.getByRole('button', { name: 'Change the size: Pool of the devices' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Unlimited').uncheck();
    await dialog.getByLabel('Size').fill('100');
    await dialog.getByRole('button', { name: 'Preview' }).click();
    await dialog.getByText('15 tokens are handed out beyond that.').waitFor();
    t.strictSame(await readRows(page, 'What this changes'), [
      ['Size', 'Unlimited', '100'],
      ['Handed out', '115', '115'],
      ['In the pool', 'Unlimited', '0'],
    ]);
    await dialog.getByLabel('Type change to confirm').fill('change');
    await dialog.getByRole('button', { name: 'Change the size' }).click();
    await page.getByText('The size is changed: Pool of the devices.').waitFor();

    await page.getByRole('button', { name: 'Reset the devices' }).click();
    await dialog.getByLabel('Tokens for every device').fill('60');
    await dialog.getByRole('button', { name: 'Preview' }).click();
    await dialog.getByText('The pool has 100 tokens, but this needs 120.').waitFor();
    await dialog.getByLabel('Tokens for every device').fill('40');
    await dialog.getByRole('button', { name: 'Preview' }).click();
    await dialog.getByText('115 → 80').waitFor();
    t.match(await dialog.innerText(), /Left, and not carried over\s+115/);
    await dialog.getByLabel('Type reset to confirm').fill('reset');
    await dialog.getByRole('button', { name: 'Reset the devices' }).click();
    await page.getByText('2 devices are reset; period 2 has begun.').waitFor();
    t.match(await read(laptop.id), { allocated: 40, used: 0 });
  });

  await t.test('prices, weights and plans are set', async (t) => {
    const { page, visit } = await openConsole(t, browser, place);
    await visit('/prices');
    await page.getByRole('button', { name: 'Add a price' }).click();
    await page.getByLabel('Model', { exact: true }).fill('gpt-5');
    await page.getByLabel('Tokens per prompt').fill('2');
    await page.getByText('100 prompts will cost 200 tokens.').waitFor();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('rowheader', { name: 'gpt-5' }).waitFor();
    await page.getByRole('button', { name: 'Add a weight' }).click();
    await page.getByLabel('Model', { exact: true }).fill('openai/*');
    await page.getByLabel('Of a prompt’s token').fill('0.5');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('rowheader', { name: 'openai/*' }).waitFor();
    t.match(await readRows(page, 'Weights in chat'), [['openai/*', '0.5', '0.5', 'admin']]);
    await visit('/plans');
    await page.getByRole('button', { name: 'Change Pro' }).click();
    await page.getByLabel('Tokens a month').fill('6,000,000');
    await page.getByLabel('Devices', { exact: true }).fill('');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Pro is changed.').waitFor();
    t.match((await readRows(page, 'Plans'))[1], ['Pro', '6,000,000', 'any number', '0']);
  });

  await t.test('usage is looked at closer and closer, and comes as a file', async (t) => {
    for (const model_type of ['gpt-5', 'gpt-5', 'claude-opus-4.5']) {
      await server.as(laptop, 'POST', '/api/usage/log', { model_type });
    }
    const { page, visit } = await openConsole(t, browser, place);
    await visit('/usage');
    t.match(await readRows(page, 'Sums of all days'), [
      ['gpt-5', '66.7%', '2', '0', '4'],
      ['claude-opus-4.5', '33.3%', '1', '0', '3'],
    ]);
    await page.getByRole('button', { name: 'Only this: gpt-5' }).click();
    await page.getByRole('link', { name: 'Laptop' }).waitFor();
    t.match(await readRows(page, 'Sums of all days'), [['Laptop', '100%', '2', '0', '4']]);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Download CSV' }).click(),
    ]);
    const lines = (await readFile(await download.path(), 'utf8')).trim().split('\r\n');
    t.equal(lines.length, 3, 'a heading, and the two uses of the model');
    await page.getByRole('button', { name: 'Show all again, not only Model: gpt-5' }).click();
    await page.getByLabel('Divide by').selectOption('model');
    await page.getByRole('rowheader', { name: 'claude-opus-4.5' }).waitFor();
  });

  await t.test(
    'a change of all that match goes on when the page is loaded again, and is told how it ended',
    async (t) => {
      const { page, visit } = await openConsole(t, browser, place);
      await visit('/devices');
      await page.getByLabel('Select Laptop').check();
      await page.getByRole('button', { name: 'Select all 2 that match' }).click();
      await page.getByRole('button', { name: 'Give or take tokens' }).click();
      await page.getByLabel('Tokens for each').fill('3');
      await page.getByRole('button', { name: 'Preview' }).click();
      await page.getByLabel('Type 2 to confirm').fill('2');
      await meetAtLock(server.database, poolLock('device', 1), async () => {
        await page.getByRole('button', { name: 'Begin' }).click();
        await page.getByText('The server goes on by itself').or(page.getByText('2 changed.')).first().waitFor();
        await page.reload();
      });
      const changes = page.getByRole('region', { name: 'Bulk changes' });
      await changes.getByText('2 changed.').waitFor();
      t.match(await read(laptop.id), { allocated: 43 });
      await visit('/plans');
      await changes.getByRole('button', { name: /^Dismiss/ }).click();
      await changes.waitFor({ state: 'detached' });
      await page.reload();
      await page.getByRole('heading', { level: 1, name: 'Plans' }).waitFor();
      await settle(page);
      t.equal(await changes.count(), 0, 'once it was noted');
    },
  );

  await t.test('who is signed out elsewhere is told so, and goes on where they were', async (t) => {
    const { page, visit } = await openConsole(t, browser, place, { username: 'grace', role: 'viewer' });
    await server.database.sql(
      `delete from private.admin_sessions s using private.admins a where a.id = s.admin_id and a.username = 'grace'`,
    );
    await visit('/plans');
    await page.getByText('Your session has ended. Sign in again.').waitFor();
    await page.locator('input[name=username]:focus').waitFor();
    await typeSignIn(page, 'grace');
    await page.getByRole('heading', { level: 1, name: 'Plans' }).waitFor();
  });

  await t.test('the books are verified from the overview, and the audit log tells who did all this', async (t) => {
    const { page, visit } = await openConsole(t, browser, place);
    await page.getByRole('button', { name: 'Verify now' }).click();
    await page.getByText(/^Everything adds up, as of/).waitFor();
    await visit('/audit');
    await page.getByLabel('What', { exact: true }).selectOption('undo');
    await settle(page);
    t.match(await readRows(page, 'Audit log'), [['Undid an entry', 'admin:root', /^Device/]]);
  });

  await server.verifyLedger(t);
});

t.end();
