import { registerUser } from '../../helpers/accounts.js';
import { openDashboard, reportUse } from '../../helpers/dashboard.js';
import { browserMissing, contrastsOn, openBrowser } from '../../helpers/http/browser.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const DISCERNIBLE = 3;
const OVERHANG = 'document.documentElement.scrollWidth - innerWidth';

if (browserMissing) t.plan(0, browserMissing);
else await testInBrowser(t);

async function testInBrowser(t: Test) {
  const server = await openTestServer(t);
  const url = await server.listen();
  const browser = await openBrowser(t);
  const user = await registerUser(server);
  const providers = 'abcdefg'.split('').map((letter) => `provider-${letter}`);
  await reportUse(
    user,
    [...Array(60).keys()].map((position) => ({
      daysAgo: position,
      provider: providers[position % 7] ?? '',
      model: `model-${position % 9}`,
      sent: 1_000_000 * (position + 1),
    })),
  );

  t.test(
    'in light and in dark, wide and narrow, the colours of the chart can be told apart and nothing hangs over',
    async (t) => {
      const backgrounds = new Set<string>();
      for (const colorScheme of ['light', 'dark'] as const) {
        for (const width of [1280, 360]) {
          const view = `${colorScheme}, ${width} wide`;
          const options = { colorScheme, viewport: { width, height: 800 } };
          const { page } = await openDashboard(t, browser, url, user, options);
          await page.getByText('All numbers as a table').click();
          t.ok((await page.evaluate<number>(OVERHANG)) <= 0, `${view}: nothing hangs over the edge`);
          backgrounds.add(await page.evaluate<string>('getComputedStyle(document.body).backgroundColor'));

          await page.evaluate(`for (let slot = 0; slot < 7; slot += 1) {
          const patch = document.createElement('p');
          patch.className = 'patch';
          patch.textContent = slot;
          patch.style.color = 'var(--series-' + slot + ')';
          document.querySelector('.card').append(patch);
        }`);
          const colors = await contrastsOn(page, '.patch');
          t.equal(colors.length, 7);
          t.strictSame(
            colors.filter(({ ratio }) => ratio < DISCERNIBLE),
            [],
            `${view}: colours of the providers`,
          );
        }
      }
      t.equal(backgrounds.size, 2, 'dark is dark');
    },
  );

  t.test('no use yet looks like that, and says what to do', async (t) => {
    const newcomer = await registerUser(server);
    for (const width of [1280, 360]) {
      const { page } = await openDashboard(t, browser, url, newcomer, { viewport: { width, height: 800 } });
      t.ok(await page.getByText('No use in these days').isVisible());
      t.equal(await page.getByRole('link', { name: 'documentation of the API' }).getAttribute('href'), 'docs');
      for (const heading of ['Tokens per day', 'By model', 'Recent events']) {
        t.notOk(await page.getByRole('heading', { name: heading }).isVisible(), heading);
      }
      t.ok(await page.getByRole('button', { name: 'Save as CSV' }).isDisabled());
      t.ok((await page.evaluate<number>(OVERHANG)) <= 0);
    }
  });

  t.test('the chart follows a change between light and dark, and of the width', async (t) => {
    const { page } = await openDashboard(t, browser, url, user, { colorScheme: 'light' });
    // Not by page.waitForFunction, which evaluates text within the page, where its policy forbids that.
    const holds = (condition: string) => untilTrue(() => page.evaluate<boolean>(condition));
    const hasColor = (red: number, green: number, blue: number) =>
      holds(`(() => {
        const canvas = document.querySelector('.chart canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return data.some((_, at) => at % 4 === 0
          && data[at] === ${red} && data[at + 1] === ${green} && data[at + 2] === ${blue});
      })()`);
    await hasColor(0x51, 0x82, 0xeb);
    await page.emulateMedia({ colorScheme: 'dark' });
    await hasColor(0x70, 0x9f, 0xfe);
    await page.setViewportSize({ width: 400, height: 800 });
    await holds(`document.querySelector('.chart canvas').getBoundingClientRect().width < 400`);
    t.ok((await page.evaluate<number>(OVERHANG)) <= 0);
  });

  t.test('the Tab key leads to everything, in order, and one sees where it is', async (t) => {
    const { page } = await openDashboard(t, browser, url, user);
    await page.getByText('All numbers as a table').click();
    await page.getByRole('heading', { level: 1 }).focus();
    const stops: string[] = [];
    for (let presses = 0; presses < 9; presses += 1) {
      await page.keyboard.press(presses === 0 ? 'Shift+Tab' : 'Tab');
      const [name, outlined] = await page.evaluate<[string, boolean]>(`(() => {
        const at = document.activeElement;
        const around = [at, at.nextElementSibling, at.parentElement].filter(Boolean).map((one) => getComputedStyle(one));
        const outlined = around.some(({ opacity, outlineStyle }) => opacity !== '0' && outlineStyle === 'solid');
        return [at.ariaLabel ?? at.labels?.[0]?.innerText ?? at.innerText, outlined];
      })()`);
      stops.push(name);
      t.ok(outlined, `${name} is outlined`);
    }
    t.strictSame(stops, [
      'Account',
      'Refresh',
      'Save as CSV',
      'Last 30 days',
      'Tokens per day and provider: position',
      'All numbers as a table',
      'Tokens per day and provider',
      'Show all 30 models',
      'Show more',
    ]);
  });

  t.test('the ledger verifies', (t) => server.verifyLedger(t));
}

t.end();
