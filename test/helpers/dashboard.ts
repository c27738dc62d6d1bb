import type { Browser, BrowserContextOptions } from 'playwright-core';
import type { Test } from 'tap';
import type { TestUser } from './accounts.js';
import { openPage, type WatchedPage } from './http/browser.js';

const DAY_MS = 24 * 60 * 60 * 1_000;
/** Numbers and days as the assertions write them. */
const VIEW: BrowserContextOptions = { locale: 'en-US', timezoneId: 'UTC' };

/** A use to report: some tokens of a model, some days ago. */
export interface Use {
  readonly daysAgo?: number;
  readonly provider?: string;
  readonly model?: string;
  readonly sent?: number;
  readonly received?: number;
  readonly url?: string;
}

/** Reports uses as an extension does. */
export async function reportUse(user: TestUser, uses: readonly Use[]): Promise<void> {
  const now = Date.now();
  const events = uses.map(({ daysAgo = 0, provider, model, sent, received, url }, position) => ({
    provider: provider ?? 'chatgpt',
    model: model ?? 'gpt-5.1',
    inputTokens: sent ?? 100,
    outputTokens: received ?? 0,
    // Each a moment of its own, so that none is taken for another.
    timestamp: now - daysAgo * DAY_MS - position,
    ...(url !== undefined && { url }),
  }));
  const response = await user.as('POST', '/api/usage', { events });
  const { recorded } = response.json<{ recorded: number }>();
  if (recorded !== uses.length) throw new Error(`reporting answered ${response.statusCode}: ${response.payload}`);
}

/** Waits until everything is shown. */
export function shown({ page }: WatchedPage): Promise<void> {
  return page
    .getByRole('status')
    .filter({ hasText: /^Showing / })
    .waitFor();
}

/** Chooses how many days are shown, and waits for them. */
export async function chooseDays(watched: WatchedPage, days: 7 | 30 | 90): Promise<void> {
  const answer = watched.page.waitForResponse((response) => response.url().includes('/api/usage/summary'));
  await watched.page.getByText(`Last ${days} days`, { exact: true }).first().click();
  await answer;
  await shown(watched);
}

/** Opens the page and signs in, without waiting for what it then shows. */
export async function signIn(watched: WatchedPage, url: string, user: Pick<TestUser, 'email' | 'password'>) {
  await watched.page.goto(`${url}/dashboard`);
  await watched.page.getByLabel('E-mail address').fill(user.email);
  await watched.page.getByLabel('Password', { exact: true }).fill(user.password);
  await watched.page.keyboard.press('Enter');
}

/** Opens the page, signs in and waits until everything is shown. */
export async function openDashboard(
  t: Test,
  browser: Browser,
  url: string,
  user: TestUser,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const watched = await openPage(t, browser, { ...VIEW, ...options });
  await signIn(watched, url, user);
  await shown(watched);
  return watched;
}

/** Texts of the cells of a table, row by row. */
export async function readCells({ page }: WatchedPage, table: string): Promise<string[][]> {
  const rows = await page.locator(`${table} tr`).all();
  return Promise.all(rows.map((row) => row.locator('th, td').allTextContents()));
}

/** Asserts what holds on every visit: nothing in the console, no refused load, no other host, no secret in an address. */
export function assertClean(t: Test, { complaints, requests }: WatchedPage, url: string, user: TestUser): void {
  t.strictSame(complaints, [], 'nothing in the console');
  const foreign = requests.filter((request) => !request.includes(` ${url}/`) && !request.includes(` blob:${url}/`));
  t.strictSame(foreign, [], 'no request to another host');
  const addresses = requests.join();
  t.notOk(/eyJ[\w-]+\.eyJ/.test(addresses) || addresses.includes(user.password), 'no secret is in an address');
}
