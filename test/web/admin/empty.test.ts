import { browserMissing, openBrowser } from '../../helpers/http/browser.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { openConsole } from '../../helpers/web/console.js';
import { assertAccessible } from '../../helpers/web/view.js';

/** Views of a server that nobody uses and that has nothing set, and what each says of it. */
const VIEWS: Readonly<Record<string, readonly string[]>> = {
  '/': ['Nobody uses this server yet', 'Register a device', 'Create or invite people', 'See what is off, and why'],
  '/devices': ['No devices yet', 'POST /api/devices/register'],
  '/people': ['Nobody has an account yet', 'invite somebody', 'SIGNUP in the settings'],
  '/invitations': ['Nobody is invited yet.', 'Who is invited gets a link', 'Not set: FROM_EMAIL, SMTP_URL.'],
  '/usage': ['Nothing was used.', 'What devices and people use appears here.'],
  '/prices': ['Chat with language models: off on this server. Not set: OPENROUTER_API_KEY.'],
  '/budget/1': ['No device had tokens in this period.'],
  '/plans': ['Payments: off on this server. Not set: STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET.'],
  '/webhooks': ['No webhooks yet.', 'A webhook is told of', 'Mail: off on this server.'],
};

t.test('the console of a server that nobody uses', { skip: browserMissing }, async (t) => {
  const server = await openTestServer(t);
  const url = await server.listen();
  const console = await openConsole(t, await openBrowser(t), { server, url });
  const { page, visit } = console;

  t.test('each view says what is empty, what to do next, and why something is off', async (t) => {
    for (const [path, sentences] of Object.entries(VIEWS)) {
      await visit(path);
      for (const sentence of sentences) await page.locator('main').getByText(sentence).first().waitFor();
      await assertAccessible(t, console, path);
    }
    await visit('/');
    t.equal(await page.locator('.chart').count(), 0, 'a chart of nothing is not drawn');
  });

  t.test('a search without a match leads back to everything', async (t) => {
    await server.registerDevice();
    await visit('/devices?q=nowhere&filter=blocked');
    await page.getByText('Nothing matches.').waitFor();
    await page.getByRole('button', { name: 'Show all', exact: true }).click();
    await page.getByText('1 device', { exact: true }).waitFor();
    t.equal(await page.getByLabel('Search', { exact: true }).inputValue(), '');
  });

  t.test('an invitation whose link nobody mails is handed on by hand', async () => {
    await visit('/invitations');
    await page.getByRole('button', { name: 'Invite somebody' }).click();
    await page.getByLabel('E-mail address').fill('ada@example.com');
    await page.getByRole('button', { name: 'Make the link' }).click();
    await page.getByText('Send the link to whom you invite.').waitFor();
  });

  t.test('the ledger verifies', (t) => server.verifyLedger(t));
});

t.end();
