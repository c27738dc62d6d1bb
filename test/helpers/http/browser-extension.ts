import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, chromium, type Page, type Worker } from 'playwright-core';
import type { Test } from 'tap';
import { until } from '../until.js';
import { LAUNCH_OPTIONS, PAGE_TIMEOUT_MS, toChromiumArguments } from './browser.js';

/** A headless Chromium with an unpacked extension. */
export interface ExtensionBrowser {
  readonly context: BrowserContext;
  readonly id: string;
  /** The extension's service worker, as soon as it runs. */
  readonly worker: () => Promise<Worker>;
  /** Ends the service worker, as the browser does with one that is idle. */
  readonly endWorker: () => Promise<void>;
  readonly openPage: (url: string) => Promise<Page>;
}

/**
 * Starts a Chromium that reaches nothing but this machine, and what `hosts` maps to it; it ends with the test.
 *
 * @param folder the extension
 * @param hosts rules as `MAP name:port address:port`
 */
export async function openExtensionBrowser(
  t: Test,
  folder: string,
  hosts: readonly string[],
): Promise<ExtensionBrowser> {
  const profile = await mkdtemp(join(tmpdir(), 'tokenledger-browser-'));
  const context = await chromium.launchPersistentContext(profile, {
    ...LAUNCH_OPTIONS,
    ignoreDefaultArgs: ['--disable-extensions'],
    args: [
      ...toChromiumArguments(hosts),
      `--disable-extensions-except=${folder}`,
      `--load-extension=${folder}`,
      '--disable-features=DisableLoadExtensionCommandLineSwitch',
    ],
  });
  context.setDefaultTimeout(PAGE_TIMEOUT_MS);
  t.after(async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 10 });
  });
  const worker = () => until('the service worker runs', () => context.serviceWorkers().at(-1));
  const id = new URL((await worker()).url()).host;
  const openPage = async (url: string) => {
    const page = await context.newPage();
    await page.goto(url);
    return page;
  };
  return {
    context,
    id,
    worker,
    openPage,
    endWorker: async () => {
      const session = await context.browser()?.newBrowserCDPSession();
      if (session === undefined) throw new Error('the browser has gone');
      const findWorker = async () =>
        (await session.send('Target.getTargets')).targetInfos.find(({ type }) => type === 'service_worker');
      const targetId = (await findWorker())?.targetId;
      if (targetId !== undefined) await session.send('Target.closeTarget', { targetId });
      await until('the service worker has ended', async () => (await findWorker()) === undefined || undefined);
    },
  };
}
