import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import type { Test } from 'tap';
import { openPage, type WatchedPage } from '../http/browser.js';
import { countRing, findFocused } from './focus-ring.js';
import { findEnglish } from './languages.js';

/** How somebody looks at a page. */
export interface ViewOptions {
  readonly dark?: boolean;
  readonly german?: boolean;
  /** 360 pixels wide, and touched. */
  readonly phone?: boolean;
  readonly context?: BrowserContextOptions;
}

/** Ways a view must look right in. */
export const LOOKS = {
  light: {},
  dark: { dark: true },
  phone: { phone: true },
  german: { german: true },
  'very wide': { context: { viewport: { width: 3840, height: 2160 } } },
  'german on a dark phone': { german: true, dark: true, phone: true },
} as const satisfies Record<string, ViewOptions>;

const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 360, height: 740 };
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
/** Makes what the policy refuses a line in the console, which the page's watch collects. */
const CSP_WATCH = `document.addEventListener('securitypolicyviolation', (event) =>
  console.error('the policy refused ' + event.effectiveDirective + ' ' + event.blockedURI + ' ' + event.sample));`;
/** How much of what has the focus its ring must surround. */
const RING_SHARE = 0.5;
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

let axeSource: Promise<string> | undefined;

/** Returns what a browser context has for a way of looking. */
function toContext({ dark, german, phone, context }: ViewOptions): BrowserContextOptions {
  return {
    viewport: phone ? PHONE : DESKTOP,
    colorScheme: dark ? 'dark' : 'light',
    locale: german ? 'de-DE' : 'en-US',
    timezoneId: 'UTC',
    reducedMotion: 'reduce',
    ...(phone && { hasTouch: true, deviceScaleFactor: 2 }),
    ...context,
  };
}

/** Opens an empty page for somebody who looks at it so; what the content policy refuses is among the complaints. */
export async function openView(t: Test, browser: Browser, options: ViewOptions = {}): Promise<WatchedPage> {
  const watched = await openPage(t, browser, toContext(options));
  await watched.page.addInitScript(CSP_WATCH);
  return watched;
}

interface Violation {
  readonly id: string;
  readonly help: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
}

/**
 * Asserts that axe finds nothing to complain about, that nothing is cut off at the side, that a German page says nothing in
 * English, and that the console is empty.
 */
export async function assertAccessible(t: Test, { page, complaints }: WatchedPage, name: string): Promise<void> {
  axeSource ??= readFile(AXE, 'utf8');
  // What loads anew is paler meanwhile.
  await page.locator('[aria-busy="true"]').first().waitFor({ state: 'detached' });
  await page.evaluate(
    'Promise.all(document.getAnimations().filter((a) => a instanceof CSSTransition).map((a) => a.finished.catch(() => {})))',
  );
  await page.evaluate(await axeSource);
  const run = `axe.run(document, { runOnly: ${JSON.stringify(RULES)}, resultTypes: ['violations'] })`;
  const { violations } = await page.evaluate<{ violations: Violation[] }>(run);
  const found = violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${help}: ${html} ${failureSummary ?? ''}`),
  );
  t.strictSame(found, [], `${name}: axe finds nothing`);
  const wide = await page.evaluate<number>(
    'document.documentElement.scrollWidth - document.documentElement.clientWidth',
  );
  t.equal(wide, 0, `${name}: nothing is wider than the window`);
  if ((await page.evaluate('document.documentElement.lang')) === 'de') {
    t.strictSame(await findEnglish(page), [], `${name}: nothing is said in English`);
  }
  t.strictSame(complaints, [], `${name}: nothing in the console, and nothing refused by the policy`);
}

const FOCUSED = `(() => {
  const it = document.activeElement;
  const label = it?.labels?.[0]?.textContent ?? it?.getAttribute('aria-label') ?? it?.textContent ?? '';
  return label.replace(/\\s+/g, ' ').trim();
})()`;

/**
 * Reaches something with the Tab key alone, as somebody without a pointer does.
 *
 * @param name the label or text of what gets the focus, or a part of it
 * @throws when it is not reached with as many steps as a page has
 */
export async function tabTo(page: Page, name: string | RegExp, steps = 60): Promise<void> {
  for (let step = 0; step < steps; step++) {
    await page.keyboard.press('Tab');
    const focused = await page.evaluate<string>(FOCUSED);
    if (typeof name === 'string' ? focused === name : name.test(focused)) return;
  }
  throw new Error(`the Tab key does not lead to ${name}`);
}

/**
 * Whether one sees where the focus is: what has it is looked at with the focus and without, and around at least half of it
 * a line of pixels must get clearly lighter or darker. The focus is there again afterwards.
 */
export async function isFocusVisible(page: Page): Promise<boolean> {
  const found = await findFocused(page);
  if (found === undefined) return false;
  const look = () => page.screenshot({ clip: found.clip, animations: 'disabled' });
  const focused = await look();
  await page.evaluate('(globalThis.focusedBefore = document.activeElement).blur()');
  const blurred = await look();
  await page.evaluate('globalThis.focusedBefore.focus({ preventScroll: true, focusVisible: true })');
  return (await countRing(page, focused, blurred)) >= found.outline * RING_SHARE;
}

/** Counts what a page loads, in bytes on the wire; call it before the page is opened. */
export function countBytes(page: Page): () => Promise<number> {
  const sizes: Promise<number>[] = [];
  page.on('requestfinished', (request) => {
    if (request.url().includes('/api/')) return;
    sizes.push(request.sizes().then(({ responseBodySize }) => responseBodySize));
  });
  return async () => (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** The folder that screenshots go to, where they are wanted. */
export const SCREENSHOTS = process.env['SCREENSHOTS'];

/** Keeps what a page looks like, where that is wanted. */
export async function keepScreenshot({ page }: Pick<WatchedPage, 'page'>, name: string): Promise<void> {
  if (SCREENSHOTS === undefined) return;
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

/** Reads after how many milliseconds a page showed something. */
export async function readFirstPaint(page: Page): Promise<number> {
  return Math.round(await page.evaluate<number>("performance.getEntriesByName('first-contentful-paint')[0].startTime"));
}

/** Signs in on the dashboard, and waits until the first view is there. */
export async function signInAt(
  { page }: Pick<WatchedPage, 'page'>,
  url: string,
  { email, password }: { readonly email: string; readonly password: string },
): Promise<void> {
  await page.goto(`${url}/dashboard`);
  await page.locator('input[type=email]').fill(email);
  await page.locator('input[type=password]').fill(password);
  await page.keyboard.press('Enter');
  await page.locator('nav a[aria-current]').first().waitFor({ state: 'attached' });
}
