import { registerUser } from '../../helpers/accounts.js';
import { openDashboard, reportUse, shown } from '../../helpers/dashboard.js';
import { browserMissing, contrastsOn, openBrowser, openPage } from '../../helpers/http/browser.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const READABLE = 4.5;
const DISCERNIBLE = 3;
/** Whatever may have a text; sliders and choices are drawn by what is beside them. */
const EVERYTHING = ':is(header, main) :not([type=range], [type=radio])';
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

  t.test('in light and in dark, wide and narrow, everything can be read and nothing hangs over', async (t) => {
    const backgrounds = new Set<string>();
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const width of [1280, 360]) {
        const view = `${colorScheme}, ${width} wide`;
        const options = { colorScheme, viewport: { width, height: 800 } };
        const { page } = await openDashboard(t, browser, url, user, options);
        await page.getByText('All numbers as a table').click();
        const contrasts = await contrastsOn(page, EVERYTHING);
        t.ok(contrasts.length > 200, `${contrasts.length} texts were found`);
        t.strictSame(
          contrasts.filter(({ ratio }) => ratio < READABLE),
          [],
          view,
        );
        t.ok((await page.evaluate<number>(OVERHANG)) <= 0, `${view}: nothing hangs over the edge`);
        backgrounds.add(await page.evaluate<string>('getComputedStyle(document.body).backgroundColor'));

        await page.evaluate(`for (let slot = 0; slot < 7; slot += 1) {
          const patch = document.createElement('p');
          patch.className = 'patch';
          patch.textContent = slot;
          patch.style.color = 'var(--series-' + slot + ')';
          document.querySelector('.days').append(patch);
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
  });

  t.test('the form and its complaints can be read, too', async (t) => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page } = await openPage(t, browser, { colorScheme, viewport: { width: 320, height: 640 } });
      await page.goto(`${url}/dashboard`);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.getByText('Type your e-mail address.').waitFor();
      const contrasts = await contrastsOn(page, EVERYTHING);
      t.strictSame(
        contrasts.filter(({ ratio }) => ratio < READABLE),
        [],
      );
      t.ok((await page.evaluate<number>(OVERHANG)) <= 0);
    }
  });

  t.test('no use yet looks like that, and says what to do', async (t) => {
    const newcomer = await registerUser(server);
    for (const width of [1280, 360]) {
      const { page } = await openDashboard(t, browser, url, newcomer, { viewport: { width, height: 800 } });
      t.ok(await page.getByRole('heading', { name: 'No use in these days' }).isVisible());
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
        const canvas = document.querySelector('#chart canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return data.some((_, at) => at % 4 === 0
          && data[at] === ${red} && data[at + 1] === ${green} && data[at + 2] === ${blue});
      })()`);
    await hasColor(0x51, 0x82, 0xeb);
    await page.emulateMedia({ colorScheme: 'dark' });
    await hasColor(0x70, 0x9f, 0xfe);
    await page.setViewportSize({ width: 400, height: 800 });
    await holds(`document.querySelector('#chart canvas').getBoundingClientRect().width < 400`);
    t.ok((await page.evaluate<number>(OVERHANG)) <= 0);
  });

  t.test('landmarks, headings, names and labels are there for who does not see the page', async (t) => {
    const watched = await openDashboard(t, browser, url, user);
    const { page } = watched;
    await shown(watched);
    t.equal(await page.getByRole('banner').count(), 1);
    t.equal(await page.getByRole('main').count(), 1);
    const levels = await page.evaluate<number[]>(
      `[...document.querySelectorAll('h1, h2, h3, h4')].filter((one) => one.checkVisibility()).map((one) => Number(one.tagName[1]))`,
    );
    t.strictSame(levels, [1, 2, 2, 2, 2, 2]);
    const unnamed = await page.evaluate<string[]>(
      `[...document.querySelectorAll('input')].filter((one) => !one.labels?.length && !one.ariaLabel).map((one) => one.id)`,
    );
    t.strictSame(unnamed, [], 'every field has a label');
    const twice = await page.evaluate<string[]>(
      `[...document.querySelectorAll('[id]')].map(({ id }) => id).filter((id, at, all) => all.indexOf(id) !== at)`,
    );
    t.strictSame(twice, [], 'no id is there twice');
    const lost = await page.evaluate<string[]>(
      `[...document.querySelectorAll('[aria-labelledby], [aria-describedby]')]
        .flatMap((one) => [one.getAttribute('aria-labelledby'), one.getAttribute('aria-describedby')])
        .filter((id) => id !== null && document.getElementById(id) === null)`,
    );
    t.strictSame(lost, [], 'what names something is there');
    const tree = await page.locator('main').ariaSnapshot();
    for (const part of [
      'heading "Your usage" [level=1]',
      'status: Showing',
      'group "Range"',
      'radio "30 days" [checked]',
      'button "Save as CSV"',
      'region "Tokens per day"',
      'slider "Day of the chart"',
      'list "Providers"',
      'region "By model"',
      'region "Balance"',
      'columnheader "When"',
    ]) {
      t.ok(tree.includes(part), part);
    }
    await page.getByText('All numbers as a table').click();
    const table = page.locator('#chart-table');
    t.equal(await table.getAttribute('tabindex'), '0', 'what scrolls can be scrolled by keyboard in every browser');
    t.match(await table.ariaSnapshot(), 'table "Tokens per day and provider"');
  });

  t.test('the Tab key leads to everything, in order, and one sees where it is', async (t) => {
    const { page } = await openDashboard(t, browser, url, user);
    await page.getByText('All numbers as a table').click();
    await page.getByRole('heading', { level: 1 }).focus();
    const stops: string[] = [];
    for (let presses = 0; presses < 8; presses += 1) {
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
      'Sign out',
      '30 days',
      'Save as CSV',
      'Day of the chart',
      'All numbers as a table',
      'Tokens per day and provider',
      'Show all 30 models',
      'Show more',
    ]);
  });

  t.test('the ledger verifies', (t) => server.verifyLedger(t));
}

t.end();
