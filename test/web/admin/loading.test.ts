import { browserMissing, openBrowser } from '../../helpers/http/browser.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { openConsole } from '../../helpers/web/console.js';

/** Chooses in the last list of a view, and reads how it looks before anything is painted. */
const CHOOSE = `(async () => {
  const list = document.querySelector('main select');
  list.selectedIndex = list.options.length - 1;
  list.dispatchEvent(new Event('input', { bubbles: true }));
  list.dispatchEvent(new Event('change', { bubbles: true }));
  // What is drawn because of it is drawn before the next task.
  for (let turn = 0; turn < 20; turn++) await undefined;
  return {
    busy: document.querySelectorAll('main [aria-busy="true"]').length,
    selected: document.querySelectorAll('main tbody input:checked').length,
  };
})()`;

t.test('a list in the console whose filter is changed', { skip: browserMissing }, async (t) => {
  const server = await openTestServer(t);
  const url = await server.listen();
  await server.registerDevice();
  const { page, visit } = await openConsole(t, await openBrowser(t), { server, url });

  await t.test(
    'says in the same moment that it is being loaded, so that no old row is taken for a new one',
    async (t) => {
      await visit('/audit');
      t.match(await page.evaluate(CHOOSE), { busy: 1 });
    },
  );

  await t.test('has nothing selected any more, in the same moment', async (t) => {
    await visit('/devices');
    await page.locator('main tbody input[type=checkbox]').first().check();
    t.match(await page.evaluate(CHOOSE), { busy: 1, selected: 0 });
  });
});

t.end();
