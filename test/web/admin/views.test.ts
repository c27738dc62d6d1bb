import { createApiKey, registerUser } from '../../helpers/accounts.js';
import { logInAsAdmin } from '../../helpers/admin.js';
import { browserMissing, openBrowser } from '../../helpers/http/browser.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { openConsole, settle, typeSignIn } from '../../helpers/web/console.js';
import { openTexts } from '../../helpers/web/languages.js';
import { assertAccessible, countBytes, keepScreenshot, LOOKS, openView, SCREENSHOTS } from '../../helpers/web/view.js';

const MOST_BYTES = 150_000;

t.test('every view of the console', { skip: browserMissing }, async (t) => {
  const server = await openTestServer(t);
  const url = await server.listen();
  const browser = await openBrowser(t);
  const admin = await logInAsAdmin(server);
  const user = await registerUser(server, { email: 'ada@example.com', name: 'Ada' });
  const device = await server.registerDevice(50);
  const other = await server.registerDevice(3);
  await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
  await server.database.sql('update devices set user_id = $1, first_user_id = $1 where id = $2', [user.id, device.id]);
  await admin.as('POST', '/api/admin/allocate', { device_id: device.id, from_device_id: other.id, tokens: 2 });
  await admin.as('POST', '/api/admin/invitations', { email: 'grace@example.com' });
  await admin.as('PUT', '/api/admin/model-weights', {
    model_weights: [{ model: 'a/b', input_weight: 2.5, comment: 'x' }],
  });
  await admin.as('POST', '/api/admin/reset-monthly', { default_tokens: 50 });
  await server.as(device, 'POST', '/api/usage/log', { model_type: 'claude-opus-4.5' });

  await server.as(other, 'POST', '/api/usage/log', { model_type: 'gpt-5', prompt_count: 49 });
  await createApiKey(user, 'Nightly report');

  const webhook = (await admin.as('POST', '/api/admin/webhooks', { url: 'https://example.com/hooks' })).json<{
    id: string;
  }>();
  await admin.as('POST', `/api/admin/webhooks/${webhook.id}/test`);

  const views = {
    overview: '/',
    devices: '/devices',
    'a device': `/devices/${device.id}`,
    people: '/people',
    'a person': `/people/${user.id}`,
    invitations: '/invitations',
    usage: '/usage',
    'usage by device': '/usage?by=device',
    prices: '/prices',
    budget: '/budget',
    'a period': '/budget/1',
    plans: '/plans',
    webhooks: '/webhooks',
    deliveries: `/webhooks/${webhook.id}`,
    books: '/books',
    'the audit log': '/audit',
    settings: '/settings',
    admins: '/admins',
    'my account': '/account',
  };

  // One is under way, though no process was told of it, and one is paused.
  for (const isPaused of [false, true]) {
    const begun = await admin.as('POST', '/api/admin/devices/bulk-changes', { action: 'allocate', tokens: 1 });
    const { id } = begun.json<{ id: string }>();
    await server.database.sql(
      `select run_bulk_change(jsonb_build_object('id', s.admin_id, 'version', 1, 'session_id', s.id), $1)
         from private.admin_sessions s limit 1`,
      [id],
    );
    if (isPaused) await admin.as('POST', `/api/admin/bulk-changes/${id}/pause`);
  }

  const say = await openTexts('de');
  /** What opens a dialog in a view, as it is read out in German. */
  const dialogs: Readonly<Record<string, readonly (string | RegExp)[]>> = {
    overview: [/^Einzelheiten: /],
    'a device': [say('admin.moves.open'), say('admin.devices.rename'), say('admin.devices.remove')],
    people: [say('admin.people.create')],
    'a person': [say('admin.people.bulk.plan'), say('admin.people.bulk.end_sessions')],
    invitations: [say('admin.invitations.invite')],
    prices: [say('admin.prices.add'), say('admin.weights.add')],
    budget: [say('admin.budget.changeLabel', { pool: say('admin.pool.kinds.device') }), say('admin.budget.reset')],
    plans: [say('admin.plans.change', { plan: say('admin.plans.tiers.pro') })],
    webhooks: [say('admin.alerts.change'), say('admin.webhooks.add')],
    admins: [say('admin.admins.add')],
  };

  // Colours and names are the same everywhere: each view is checked in two looks that have all differences together.
  for (const [name, look] of Object.entries(LOOKS)) {
    const isChecked = name === 'light' || name === 'german on a dark phone';
    if (!isChecked && SCREENSHOTS === undefined) continue;
    await t.test(name, async (t) => {
      const watched = await openConsole(t, browser, { server, url }, { look });
      for (const [view, path] of Object.entries(views)) {
        await watched.visit(path);
        await watched.page.getByRole('heading', { level: 1 }).waitFor();
        await keepScreenshot(watched, `console ${view} ${name}`);
        if (!isChecked) continue;
        await assertAccessible(t, watched, `${view}, ${name}`);
        const text = await watched.page.locator('main').innerText();
        t.notMatch(text, /\badmin\.[a-z]+\.[a-z]/i, `${view}, ${name}: no text is missing`);
        if (name === 'light') continue;
        for (const [position, opener] of (dialogs[view] ?? []).entries()) {
          await watched.page.getByRole('button', { name: opener, exact: true }).first().click();
          await watched.page.locator('dialog[open]').waitFor();
          await keepScreenshot(watched, `console ${view} dialog ${position} ${name}`);
          await assertAccessible(t, watched, `${view}, ${name}: ${opener}`);
          await watched.page.keyboard.press('Escape');
        }
      }
    });
  }

  await t.test('the whole console is small, with every view that was opened', async (t) => {
    const watched = await openView(t, browser, { german: true });
    const bytes = countBytes(watched.page);
    await watched.page.goto(`${url}/admin`);
    await settle(watched.page);
    await assertAccessible(t, watched, 'sign-in');
    await typeSignIn(watched.page, 'root');
    await watched.page.getByRole('navigation').waitFor();
    for (const path of Object.values(views)) {
      await watched.page.evaluate(`location.hash = ${JSON.stringify(path)}`);
      await settle(watched.page);
    }
    const size = await bytes();
    t.ok(size < MOST_BYTES, `${size} bytes`);
  });
});

t.end();
