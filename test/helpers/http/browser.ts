import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import type { Test } from 'tap';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
/** How long a page may take for anything: more than it does on a busy machine, where 30 seconds are not enough. */
export const PAGE_TIMEOUT_MS = 120_000;

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function findProgram(names: readonly string[]): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable);
}

const chromiumPath = process.env['CHROMIUM_PATH'] ?? findProgram(NAMES);

/** Why tests in a browser are skipped here, or false where there is one. */
export const browserMissing = chromiumPath === undefined && 'there is no Chromium on PATH or at CHROMIUM_PATH';

/** Why tests with an extension are skipped here, or false where they can be run. */
export const extensionsMissing =
  browserMissing || (chromiumPath?.includes('google-chrome') === true && 'Google Chrome loads no unpacked extensions');

/** Which Chromium is started, and how. */
export const LAUNCH_OPTIONS = {
  ...(chromiumPath !== undefined && { executablePath: chromiumPath }),
  chromiumSandbox: process.getuid?.() !== 0,
};

/** The arguments of a Chromium that reaches nothing but this machine, and what rules map to it. */
export const toChromiumArguments = (hosts: readonly string[] = []): string[] => [
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-quic',
  '--disable-sync',
  '--no-first-run',
  `--host-resolver-rules=${[...hosts, 'MAP * ~NOTFOUND', 'EXCLUDE 127.0.0.1'].join(', ')}`,
];

/**
 * Starts a headless Chromium that reaches nothing but this machine; it ends with the test.
 *
 * @param hosts rules that map names to this machine
 */
export async function openBrowser(t: Test, hosts: readonly string[] = []): Promise<Browser> {
  const browser = await chromium.launch({ ...LAUNCH_OPTIONS, args: toChromiumArguments(hosts) });
  t.after(() => browser.close());
  return browser;
}

/** A page under watch. */
export interface WatchedPage {
  readonly page: Page;
  /** What went wrong that the person does not see: script errors, refused loads and calls. */
  readonly complaints: string[];
  /** Every request, as `METHOD URL`. */
  readonly requests: string[];
}

/** Opens an empty page; it ends with the test. */
export async function openPage(t: Test, browser: Browser, options: BrowserContextOptions = {}): Promise<WatchedPage> {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PAGE_TIMEOUT_MS);
  t.after(() => context.close());
  const page = await context.newPage();
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (entry) => {
    // The browser itself writes a line for every answer that is a refusal.
    const isRefusal = entry.text().startsWith('Failed to load resource: the server responded');
    if (['error', 'warning'].includes(entry.type()) && !isRefusal) complaints.push(entry.text());
  });
  page.on('request', (request) => requests.push(`${request.method()} ${request.url()}`));
  return { page, complaints, requests };
}

/** Contrast of every visible text with what is behind it (WCAG 2.2, 1.4.3), as the browser's own script. */
const contrasts = (selector: string) => `(() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => {
    const [r, g, b] = numbers(color).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const color = getComputedStyle(element).backgroundColor;
    return numbers(color)[3] === 0 && element.parentElement ? behind(element.parentElement) : color;
  };
  return [...document.querySelectorAll('${selector}')]
    .filter((element) => element.checkVisibility() && (element.textContent.trim() || element.value))
    .map((element) => {
      const [darker, lighter] = [getComputedStyle(element).color, behind(element)].map(luminance).sort((a, b) => a - b);
      return { text: element.textContent.trim() || element.id, ratio: (lighter + 0.05) / (darker + 0.05) };
    });
})()`;

/**
 * The contrast of every text on a page, at least 1.
 *
 * @param selector the elements that have texts
 */
export function contrastsOn(
  page: Page,
  selector = 'h1, label, p, button, input:not([type=checkbox])',
): Promise<readonly { readonly text: string; readonly ratio: number }[]> {
  return page.evaluate(contrasts(selector));
}
