import { readFile } from 'node:fs/promises';
import { registerUser, type TestUser } from '../../helpers/accounts.js';
import { assertClean, chooseDays, openDashboard, readCells, reportUse, type Use } from '../../helpers/dashboard.js';
import { browserMissing, openBrowser, type WatchedPage } from '../../helpers/http/browser.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';

interface Row {
  readonly day?: string;
  readonly provider?: string;
  readonly total_tokens: number;
}

const CANARY = '<img src=x onerror="window.broken = true">';

if (browserMissing) t.plan(0, browserMissing);
else await testInBrowser(t);

async function testInBrowser(t: Test) {
  const server = await openTestServer(t);
  const url = await server.listen();
  const browser = await openBrowser(t);

  /** What the API answers to the question the page asked last. */
  const asked = async ({ requests }: WatchedPage, user: TestUser, path: string) => {
    const request = requests.findLast((one) => one.includes(path)) ?? '';
    return user.as('GET', request.replace(`GET ${url}`, ''));
  };
  const count = (value: number) => value.toLocaleString('en-US');
  const readout = ({ page }: WatchedPage) => page.locator('.readout').innerText();

  t.test('totals, days, providers and models are those of the API, in every range', async (t) => {
    const user = await registerUser(server);
    const uses = [...Array(89).keys()].flatMap((daysAgo): Use[] => [
      { daysAgo, provider: 'chatgpt', model: 'gpt-5.1', sent: 1_000 + daysAgo, received: 7 },
      { daysAgo, provider: 'claude', model: daysAgo % 2 ? 'opus' : 'sonnet', sent: 10 * daysAgo, received: 1 },
    ]);
    await reportUse(user, uses);
    const watched = await openDashboard(t, browser, url, user);
    for (const days of [30, 7, 90] as const) {
      if (days !== 30) await chooseDays(watched, days);
      const summary = await asked(watched, user, 'group_by=day,provider');
      const { totals, series } = summary.json<{ totals: Record<string, number>; series: Row[] }>();
      const tiles = await watched.page.locator('.figures dd').allInnerTexts();
      const fields = ['total_tokens', 'input_tokens', 'output_tokens', 'cost'];
      t.strictSame(
        tiles,
        [...fields.map((field) => count(totals[field] ?? 0)), '$0.00', count(totals['events'] ?? 0)],
        `totals of ${days} days`,
      );

      const [head, ...rows] = await readCells(watched, '.scrolls');
      t.strictSame(head?.slice().sort(), ['Day', 'Total', 'chatgpt', 'claude']);
      t.equal(rows.length, days + 1, 'a row a day, and the sum');
      for (const provider of ['chatgpt', 'claude']) {
        const column = head?.indexOf(provider) ?? 0;
        const expected = series.filter((row) => row.provider === provider).map((row) => count(row.total_tokens));
        t.strictSame(
          rows.slice(0, -1).map((row) => row[column]),
          expected,
          `${provider} on ${days} days`,
        );
      }
      t.equal(rows.at(-1)?.at(-1), count(totals['total_tokens'] ?? 0));
      t.match(await readout(watched), `Last ${days} days`);

      const models = await asked(watched, user, 'group_by=provider,model');
      const expected = models.json<{ series: Row[] }>().series.map((row) => row.total_tokens);
      const shownModels = await watched.page.locator('.models td').allInnerTexts();
      t.strictSame(
        shownModels.map((text) => text.split('\n')[0]),
        expected.sort((a, b) => b - a).map(count),
      );
    }
    assertClean(t, watched, url, user);
  });

  t.test('the bars are as high as the numbers', async (t) => {
    const user = await registerUser(server);
    await reportUse(user, [
      { daysAgo: 2, sent: 1_000 },
      { daysAgo: 1, sent: 2_000 },
      { sent: 1_000 },
      { sent: 1_000, provider: 'claude' },
    ]);
    const watched = await openDashboard(t, browser, url, user);
    await chooseDays(watched, 7);
    // Pixels that are neither grey nor white, in the middle of each day.
    const heights = await watched.page.evaluate<number[]>(`(() => {
      const canvas = document.querySelector('.chart canvas');
      const place = document.querySelector('.chart .u-over').getBoundingClientRect();
      const left = place.left - canvas.getBoundingClientRect().left;
      return Array.from({ length: 7 }, (_, day) => {
        const x = Math.round((left + ((day + 0.5) / 7) * place.width) * devicePixelRatio);
        const { data } = canvas.getContext('2d').getImageData(x, 0, 1, canvas.height);
        return Array.from({ length: canvas.height }, (_, y) => data.slice(4 * y, 4 * y + 3))
          .filter((color) => Math.max(...color) - Math.min(...color) > 40).length;
      });
    })()`);
    const [one = 0, two = 0, both = 0] = heights.slice(-3);
    t.strictSame(heights.slice(0, 4), [0, 0, 0, 0]);
    t.ok(one > 90 && Math.abs(two - 2 * one) < 6 && Math.abs(both - two) < 6, `${one}, ${two} and ${both} pixels`);
  });

  t.test('a day can be pointed at, with the mouse and with the keyboard', async (t) => {
    const user = await registerUser(server);
    await reportUse(user, [{ daysAgo: 1, sent: 111 }, { sent: 222 }, { sent: 444, provider: 'claude' }]);
    const watched = await openDashboard(t, browser, url, user);
    const { page } = watched;
    t.match(await readout(watched), /Last 30 days\s+777 tokens/);
    const cursor = page.getByRole('slider', { name: 'Tokens per day and provider: position' });
    await cursor.focus();
    t.match(await readout(watched), /today so far\)\s+666 tokens/);
    t.match(await cursor.getAttribute('aria-valuetext'), /666 tokens; claude 444, chatgpt 222$/);
    await page.keyboard.press('ArrowLeft');
    t.match(await readout(watched), /111 tokens/);
    t.match(await page.getByRole('list', { name: 'Legend' }).innerText(), /claude\s+0\s+chatgpt\s+111/);
    await page.keyboard.press('Home');
    t.match(await readout(watched), /\b0 tokens/);
    await page.keyboard.press('End');
    t.match(await readout(watched), /666 tokens/);
    await page.keyboard.press('Tab');
    t.match(await readout(watched), /Last 30 days\s+777 tokens/);
    const over = await page.locator('.chart .u-over').boundingBox();
    await page.mouse.move((over?.x ?? 0) + (over?.width ?? 0) * (28.5 / 30), (over?.y ?? 0) + 20);
    t.match(await readout(watched), /111 tokens/);
    await page.mouse.move(0, 0);
    t.match(await readout(watched), /777 tokens/);
    await chooseDays(watched, 90);
    await cursor.focus();
    t.match(await readout(watched), /today so far/, 'in a longer range it begins at its last day');
    assertClean(t, watched, url, user);
  });

  t.test('events are listed newest first, and more of them until there are no more', async (t) => {
    const user = await registerUser(server);
    const uses = [...Array(45).keys()].map((position): Use => ({ model: `model-${position}`, sent: 1_000 + position }));
    await reportUse(user, uses);
    const watched = await openDashboard(t, browser, url, user);
    const { page } = watched;
    const rows = page.locator('.events tbody tr');
    const more = page.getByRole('button', { name: 'Show more' });
    t.equal(await rows.count(), 20);
    await more.press('Enter');
    await page.getByRole('status').filter({ hasText: '20 more rows shown.' }).waitFor();
    t.equal(await rows.count(), 40);
    t.equal(await page.locator(':focus').innerText(), 'Show more', 'and again');
    await page.keyboard.press('Enter');
    await page.getByRole('status').filter({ hasText: '5 more rows shown. That is all.' }).waitFor();
    t.notOk(await more.isVisible());
    t.match(await page.locator(':focus').innerText(), 'model-40', 'the keyboard goes on there');
    const names = await rows.locator('th').allInnerTexts();
    t.strictSame(
      names,
      uses.map(({ model }) => model),
      'each once, in order',
    );
    t.match(await rows.first().innerText(), /\s1,000\s+0\s+1,000\s/, 'sent, received and both');
    assertClean(t, watched, url, user);
  });

  t.test('the file has the rows of the range, as the API writes them', async (t) => {
    const user = await registerUser(server);
    await reportUse(user, [{ model: 'recent, "quoted"' }, { daysAgo: 3 }, { daysAgo: 20, model: 'old' }]);
    const watched = await openDashboard(t, browser, url, user);
    await chooseDays(watched, 7);
    const [download] = await Promise.all([
      watched.page.waitForEvent('download'),
      watched.page.getByRole('button', { name: 'Save as CSV' }).click(),
    ]);
    const text = await readFile(await download.path(), 'utf8');
    t.equal(text, (await asked(watched, user, '/api/usage.csv')).payload);
    t.equal(text.trimEnd().split('\r\n').length, 3, 'a header and two rows');
    t.notOk(text.includes('old'));
    t.match(download.suggestedFilename(), /^usage-\d{4}-\d\d-\d\d-to-\d{4}-\d\d-\d\d\.csv$/);
    await watched.page.getByRole('status').filter({ hasText: 'The file is saved.' }).waitFor();
    assertClean(t, watched, url, user);
  });

  t.test('names that are markup, or very long, are text', async (t) => {
    const user = await registerUser(server);
    const long = 'x'.repeat(200);
    await reportUse(user, [
      { model: CANARY, sent: 5, url: `https://example.com/${encodeURI('<b>bold</b>')}` },
      { model: long, sent: 3 },
      { model: 'javascript:alert(1)', url: 'https://example.com/"onmouseover="window.broken=true' },
    ]);
    const watched = await openDashboard(t, browser, url, user, { viewport: { width: 360, height: 740 } });
    const { page } = watched;
    t.equal(await page.getByText(CANARY).count(), 2, 'among the models and among the events');
    t.equal(await page.locator('main img, main b:has-text("bold")').count(), 0);
    t.equal(await page.evaluate('window.broken'), undefined);
    t.equal(await page.locator('main a').count(), 0, 'nothing of it is a link');
    t.equal(await page.evaluate<boolean>('document.documentElement.scrollWidth <= innerWidth'), true);
    assertClean(t, watched, url, user);
  });

  t.test('eight providers are six and two others in the chart, and eight in the table', async (t) => {
    const user = await registerUser(server);
    const providers = 'abcdefgh'.split('').map((letter) => `provider-${letter}`);
    await reportUse(
      user,
      providers.map((provider, position) => ({ provider, sent: 10 ** (12 - position) })),
    );
    const watched = await openDashboard(t, browser, url, user, { viewport: { width: 360, height: 740 } });
    const { page } = watched;
    const legend = await page.locator('.legend li').allInnerTexts();
    t.equal(legend.length, 7);
    t.match(legend[0], /provider-a\s+1,000,000,000,000/);
    t.match(legend[6], /2 others\s+1,100,000/);
    await page.getByText('All numbers as a table').click();
    const [head] = await readCells(watched, '.scrolls');
    t.strictSame(head, ['Day', ...providers, 'Total']);
    await page.getByRole('button', { name: 'Show all 8 models' }).press('Enter');
    t.equal(await page.locator('.models tbody tr').count(), 8);
    t.match(await page.locator(':focus').innerText(), 'provider-g', 'the keyboard goes on there');
    t.equal(await page.evaluate<boolean>('document.documentElement.scrollWidth <= innerWidth'), true);
    assertClean(t, watched, url, user);
  });

  t.test('days are those of the browser, and it is said which', async (t) => {
    const user = await registerUser(server);
    const twoDaysAgo = new Date(Date.now() - 2 * 86_400_000).toISOString().slice(0, 10);
    const payload = { provider: 'chatgpt', model: 'm', inputTokens: 5, outputTokens: 0 };
    // Eight in the evening in London is the next day in Kathmandu, a quarter to two.
    await user.as('POST', '/api/usage', { ...payload, timestamp: Date.parse(`${twoDaysAgo}T20:00:00Z`) });
    const next = new Date(Date.parse(twoDaysAgo) + 86_400_000);
    for (const [timezoneId, day, time] of [
      ['UTC', new Date(twoDaysAgo), '8:00 PM'],
      // Chromium's own spelling.
      ['Asia/Katmandu', next, '1:45 AM'],
    ] as const) {
      const watched = await openDashboard(t, browser, url, user, { timezoneId });
      const row = (await readCells(watched, '.scrolls')).find((cells) => cells[1] === '5');
      const label = day.toLocaleDateString('en-US', {
        weekday: 'short',
        month: 'short',
        day: 'numeric',
        timeZone: 'UTC',
      });
      t.equal(row?.[0], label, timezoneId);
      t.match(await watched.page.getByRole('status').first().innerText(), ` in ${timezoneId}.`);
      t.match((await watched.page.locator('.events tbody tr').innerText()).replaceAll('\u202f', ' '), time);
    }
    const english = await openDashboard(t, browser, url, user, { locale: 'en-GB' });
    await reportUse(user, [{ sent: 1_234_567 }]);
    await chooseDays(english, 7);
    t.ok(await english.page.getByText('1,234,572 tokens').isVisible(), 'numbers are written as the browser does');
  });

  t.test('the ledger verifies', (t) => server.verifyLedger(t));
}

t.end();
