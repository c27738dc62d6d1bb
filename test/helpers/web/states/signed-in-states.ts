import type { Page } from 'playwright-core';
import { PASSWORD, type State, wrongField } from './scene.js';

/** Goes to a view, and waits until it is shown. */
async function view(page: Page, path: string): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(path)}`);
  await page.locator('.loading, [aria-busy="true"]').first().waitFor({ state: 'detached' });
}

const dialog = (page: Page) => page.locator('dialog[open]');
const closeDialog = (page: Page) => page.keyboard.press('Escape');
/** Shows a view, and the dialog of one of its buttons. */
const withDialog =
  (path: string, selector: string): State =>
  async ({ page }) => {
    await closeDialog(page);
    await view(page, path);
    await page.locator(selector).first().click();
    await dialog(page).waitFor();
  };

/** States of the dashboard of the person who has something in every view, each after the one before. */
export const SIGNED_IN_STATES: Readonly<Record<string, State>> = {
  'usage of days the wrong way round': async ({ page }) => {
    await view(page, '/?days=custom&from=2026-02-01&to=2026-01-01');
    await wrongField(page);
  },
  'usage of one day without use': async ({ page }) => {
    await view(page, '/?days=custom&from=2026-01-01&to=2026-01-01');
    await page.locator('.empty').waitFor();
  },
  'device renamed': withDialog('/devices', '.acts .button:not(.danger)'),
  'device unlinked': withDialog('/devices', '.acts .button.danger'),
  'plan changed': withDialog('/plan', '.plan .button.primary'),
  'plan cancelled': withDialog('/plan', '.actions .button.danger'),
  'plan that ends': async ({ page }) => {
    await dialog(page).locator('button[type=submit]').click();
    await page.locator('.view > .notice, .view .notice').first().waitFor();
  },
  'settings version': withDialog('/settings', '.acts .button:first-child'),
  'settings restored': withDialog('/settings', '.acts .button:nth-child(2)'),
  'key made': withDialog('/keys', '.view-head .button.primary'),
  'key without a name': async ({ page }) => {
    await dialog(page).locator('button[type=submit]').click();
    await wrongField(page);
  },
  'key shown': async ({ page }) => {
    await dialog(page).locator('input:not([type=checkbox])').first().fill('Robot');
    await dialog(page).locator('button[type=submit]').click();
    await dialog(page).locator('.copy-once').waitFor();
  },
  'key deleted': withDialog('/keys', '.acts .button.danger'),
  'account deleted': withDialog('/account', '.button.danger'),
  'proof asked for': async ({ page, server, user }) => {
    await server.database.sql(`update private.sessions set proved_at = now() - interval '1 hour' where user_id = $1`, [
      user.id,
    ]);
    await dialog(page).locator('input').fill(user.email);
    await dialog(page).locator('button[type=submit]').click();
    await page.locator('dialog[open] [name=current-password]').waitFor();
  },
  'account with a wrong password': async ({ page }) => {
    await closeDialog(page);
    await closeDialog(page);
    await page.locator('main [name=current-password]').fill('not the password');
    await page.locator('main [name=new-password]').fill(PASSWORD);
    await page.locator('form:has([name=new-password]) button[type=submit]').click();
    await wrongField(page);
  },
};

/** Views of somebody who has nothing yet. */
export const EMPTY_VIEWS = ['/', '/tokens', '/devices', '/plan', '/settings', '/keys'];

/** Shows a view to somebody who is signed in. */
export const showView = view;
