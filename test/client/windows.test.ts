import { join } from 'node:path';
import { build } from 'esbuild';
import type { BrowserContext, Page } from 'playwright-core';
import { PROJECT_ROOT } from '../../src/platform/project-root.js';
import { registerUser } from '../helpers/accounts.js';
import { browserMissing, openBrowser } from '../helpers/http/browser.js';
import { openTestServer } from '../helpers/http/test-server.js';
import t from '../helpers/run/tap.js';

t.test('two tabs of a browser share a device, a session and what waits', { skip: browserMissing }, async (t) => {
  const server = await openTestServer(t, { environment: { DEFAULT_DEVICE_TOKENS: '10' } });
  const url = await server.listen();
  const person = await registerUser(server);
  const { outputFiles } = await build({
    entryPoints: [join(PROJECT_ROOT, 'src/client/client.ts')],
    bundle: true,
    write: false,
    format: 'iife',
    globalName: 'tokenledger',
  });
  const bundle = outputFiles[0]?.text ?? '';
  const context = await (await openBrowser(t)).newContext();
  const requests: string[] = [];
  context.on('request', (request) => requests.push(new URL(request.url()).pathname));
  const openTab = async (from: BrowserContext): Promise<Page> => {
    const page = await from.newPage();
    await page.goto(`${url}/healthz`);
    await page.evaluate(`${bundle}
      globalThis.client = tokenledger.createClient({
        baseUrl: location.origin, storage: tokenledger.webStorage(localStorage), device: { name: 'Tab' }, retries: 0,
      });`);
    return page;
  };
  const tabs = [await openTab(context), await openTab(context)];
  const inBoth = (script: string) => Promise.all(tabs.map((tab) => tab.evaluate(script)));
  const count = (path: string) => requests.filter((request) => request === path).length;

  await inBoth('client.device.register().then(({ device_id }) => device_id)');
  t.equal(await server.database.sql('select from devices').then((rows) => rows.length), 1);

  await tabs[0]?.evaluate(`client.account.signIn('${person.email}', '${person.password}')`);
  await tabs[0]?.evaluate(`
    localStorage['tokenledger.session'] = JSON.stringify({ ...JSON.parse(localStorage['tokenledger.session']), expiresAt: 0 })`);
  t.match(await inBoth('client.account.profile()'), [{ id: person.id }, { id: person.id }]);
  // A browser tells a tab a moment later what another one stored: a second refresh is given the same successor.
  t.ok([1, 2].includes(count('/api/auth/refresh')), 'a tab refreshed the tokens of both');
  const kept = await inBoth("JSON.parse(localStorage['tokenledger.session']).refreshToken");
  t.equal(kept[0], kept[1], 'and both go on with the same ones');

  await context.setOffline(true);
  const log = "client.device.log({ model_type: 'gpt-5' }).then(({ state }) => state)";
  t.strictSame(await inBoth(log), ['queued', 'queued']);
  t.equal(count('/api/usage/log'), 0, 'a browser that knows it is offline tries nothing');
  await context.setOffline(false);
  t.strictSame(await inBoth('client.device.flush()'), [0, 0]);
  t.equal(count('/api/usage/log'), 2, 'each was sent once');
  t.match(await tabs[0]?.evaluate('client.device.balance()'), { used: 2, remaining: 8 });
  await server.verifyLedger(t);
});

t.end();
