import { type Browser, errors, type Locator, type Page } from 'playwright-core';
import type { Test } from 'tap';
import { logInAsAdmin, PASSWORD } from '../admin.js';
import type { WatchedPage } from '../http/browser.js';
import type { TestServer } from '../http/test-server.js';
import { openView, type ViewOptions } from './view.js';

type Role = 'viewer' | 'operator' | 'owner';

/** The console in a browser, signed in. */
export interface Console extends WatchedPage {
  /** Goes to a view and waits until it shows what it loads. */
  readonly visit: (path: string) => Promise<void>;
}

/** Types what an admin signs in with. */
export async function typeSignIn(page: Page, username: string, password = PASSWORD): Promise<void> {
  await page.getByLabel(/^(User name|Benutzername)$/).fill(username);
  await page.getByLabel(/^(Password|Passwort)$/, { exact: true }).fill(password);
  await page.getByRole('button', { name: /^(Sign in|Anmelden)$/ }).click();
}

const FRAMES = 'new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))';

/** Waits until the page shows what came of a press or a choice, such as a dialog, or that something is being loaded. */
export async function pause(page: Page): Promise<void> {
  await page.evaluate(FRAMES);
}

/** Waits until what came of the last press or choice is there, and nothing is being loaded any more. */
export async function settle(page: Page): Promise<void> {
  const busy = page.locator('.loading, [aria-busy="true"]').first();
  // A view that asks for something in its turn has begun to when the second round looks.
  for (const _round of ['of the view', 'of its parts']) {
    await pause(page);
    await busy.waitFor({ state: 'detached' });
  }
  await page.waitForLoadState('networkidle').catch((error: unknown) => {
    if (!(error instanceof errors.TimeoutError)) throw error;
  });
}

/** Opens the console as an admin of a role who has just been made, and signs in. */
export async function openConsole(
  t: Test,
  browser: Browser,
  { server, url }: { readonly server: TestServer; readonly url: string },
  { username = 'root', role = 'owner', look = {} }: { username?: string; role?: Role; look?: ViewOptions } = {},
): Promise<Console> {
  const existing = await server.database.sql('select from private.admins where username = $1', [username]);
  if (existing.length === 0) await logInAsAdmin(server, username, role);
  const watched = await openView(t, browser, look);
  const { page } = watched;
  await page.goto(`${url}/admin`);
  await typeSignIn(page, username);
  await page.getByRole('navigation').waitFor();
  const visit = async (path: string) => {
    await page.evaluate(`location.hash = ${JSON.stringify(path)}`);
    await settle(page);
  };
  return { ...watched, visit };
}

/** Reads the table of a card once nothing is being loaded: each row as the texts of its cells. */
export async function readRows(page: Page, name: string): Promise<string[][]> {
  await settle(page);
  const rows = page.getByRole('table', { name }).locator('tbody tr');
  const read = async (row: Locator) => (await row.locator('th, td').allInnerTexts()).map((text) => text.trim());
  return Promise.all((await rows.all()).map(read));
}
