import { randomUUID } from 'node:crypto';
import { browserMissing, openBrowser } from '../../helpers/http/browser.js';
import { openTestServer, setBalance } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { openConsole } from '../../helpers/web/console.js';
import { openTexts } from '../../helpers/web/languages.js';
import { assertAccessible } from '../../helpers/web/view.js';

/** Names that people may give a device, and what is hard about them. */
const NAMES = {
  'without a place to break': 'x'.repeat(200),
  'of many words': 'A very long name '.repeat(12).slice(0, 200).trim(),
  'from the right': 'המחשב הנייד שלי',
  'of symbols': '👩‍👩‍👧‍👦💻🇩🇪 𝒜𝒷𝒸',
} as const;
const LARGEST = Number.MAX_SAFE_INTEGER;

t.test('names and numbers as large as they may be, on a German phone', { skip: browserMissing }, async (t) => {
  const server = await openTestServer(t);
  const url = await server.listen();
  const register = async (device_name: string) => {
    const payload = { device_name, hardware_fingerprint: randomUUID() };
    const answer = await server.app.inject({ method: 'POST', url: '/api/devices/register', payload });
    return answer.json<{ device_id: string }>().device_id;
  };
  const ids = new Map<string, string>();
  for (const [kind, name] of Object.entries(NAMES)) ids.set(kind, await register(name));
  const [rich, poor] = [await register('rich'), await register('poor')];
  await setBalance(server.database, rich, LARGEST);
  await setBalance(server.database, poor, 0);
  const say = await openTexts('de');
  const look = { german: true, phone: true };
  const console = await openConsole(t, await openBrowser(t), { server, url }, { look });
  const { page, visit } = console;

  t.test('nothing is wider than the window', async (t) => {
    for (const path of ['/', '/devices', '/budget', '/budget/1', `/devices/${rich}`, `/devices/${poor}`]) {
      await visit(path);
      await page.getByRole('heading', { level: 1 }).waitFor();
      await assertAccessible(t, console, path);
    }
  });

  t.test('a dialog with any name can be closed with its button', async (t) => {
    for (const [kind, id] of ids) {
      await visit(`/devices/${id}`);
      await page.getByRole('button', { name: say('admin.moves.open'), exact: true }).click();
      const close = page.locator('dialog[open]').getByRole('button', { name: say('common.close') });
      const dialog = await page.locator('dialog[open]').boundingBox();
      const button = await close.boundingBox();
      t.ok(dialog && button && button.x + button.width <= dialog.x + dialog.width, kind);
      await assertAccessible(t, console, kind);
      await close.click();
      await page.locator('dialog[open]').waitFor({ state: 'detached' });
    }
  });

  t.test('a name from the right leaves the sentence around it as it is', async (t) => {
    await visit(`/devices/${ids.get('from the right')}`);
    await page.getByRole('button', { name: say('admin.moves.open'), exact: true }).click();
    const title = await page.locator('dialog[open] h2').textContent();
    t.equal(title, say('admin.moves.title', { name: `\u2068${NAMES['from the right']}\u2069` }));
    await page.keyboard.press('Escape');
  });

  t.test('the ledger verifies', (t) => server.verifyLedger(t));
});

t.end();
