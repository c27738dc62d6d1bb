import { registerUser, type TestUser } from '../../helpers/accounts.js';
import { assertClean, openDashboard, shown, signIn } from '../../helpers/dashboard.js';
import { browserMissing, openBrowser, openPage } from '../../helpers/http/browser.js';
import { openTestServer, setBalance } from '../../helpers/http/test-server.js';
import t, { type Test } from '../../helpers/run/tap.js';

const DAY_MS = 24 * 60 * 60 * 1_000;

if (browserMissing) t.plan(0, browserMissing);
else await testInBrowser(t);

async function testInBrowser(t: Test) {
  const server = await openTestServer(t);
  const url = await server.listen();
  const browser = await openBrowser(t);

  // The month before this one: what happened in it can be reported, and its days are known.
  const now = new Date();
  const month = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1, 1);
  const days = (Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1) - month) / DAY_MS;

  const use = async (user: TestUser, at: number, inputTokens: number) => {
    const event = { provider: 'chatgpt', model: 'm', inputTokens, outputTokens: 0, timestamp: at };
    t.equal((await user.as('POST', '/api/usage', event)).statusCode, 201);
  };
  /** The page of a person for whom it is some day of that month. */
  const pageOn = async (t: Test, user: TestUser, day: number, answers: Record<string, object> = {}) => {
    const watched = await openPage(t, browser, { locale: 'en-US', timezoneId: 'UTC' });
    await watched.page.clock.setFixedTime(month + day * DAY_MS);
    for (const [pattern, json] of Object.entries(answers)) {
      await watched.page.route(pattern, (route) => route.fulfill({ json }));
    }
    await signIn(watched, url, user);
    await shown(watched);
    await watched.page.getByRole('link', { name: 'Tokens', exact: true }).click();
    const cards = watched.page.locator('.cards .card');
    await cards.first().waitFor();
    return { watched, month: await cards.last().innerText(), balance: await cards.first().innerText() };
  };

  t.test('the month goes on as it began, and it is said how that is known', async (t) => {
    const user = await registerUser(server);
    await use(user, month - 1, 1_000_000);
    await use(user, month, 400);
    await use(user, month + 3 * DAY_MS, 600);
    const { watched, month: text } = await pageOn(t, user, 10);
    const name = new Date(month).toLocaleDateString('en-US', { month: 'long', timeZone: 'UTC' });
    t.match(text, new RegExp(`^${name}\\s[\\s\\S]+Tokens so far, all devices\\s+1,000\\s`));
    t.match(text, new RegExp(`Expected in all\\s+about ${(days * 100).toLocaleString('en-US')}\\s`));
    assertClean(t, watched, url, user);
  });

  t.test('without use, and on the first day, there is no forecast', async (t) => {
    const user = await registerUser(server);
    t.match((await pageOn(t, user, 10)).month, 'Nothing was debited from the account this month');
    await use(user, month, 400);
    const { month: text } = await pageOn(t, user, 0.9);
    t.match(text, /Tokens so far, all devices\s+400\s/);
    t.notMatch(text, 'Expected');
  });

  t.test('the balance is what the API says', async (t) => {
    const user = await registerUser(server);
    const answer = await user.as('GET', '/api/users/me/balance');
    const { page } = await openDashboard(t, browser, url, user);
    await page.getByRole('link', { name: 'Tokens', exact: true }).click();
    const card = page.getByRole('region', { name: 'Account balance' });
    const balance = await card.innerText();
    const { allocated, remaining } = answer.json<{ allocated: number; remaining: number }>();
    t.match(balance, `${remaining.toLocaleString('en-US')} tokens left`);
    t.match(balance, new RegExp(`Granted\\s+${allocated.toLocaleString('en-US')}\\s`));
    await setBalance(server.database, user.id, 4_321);
    await card.getByText('4,321').first().waitFor();
    t.match(await card.innerText(), 'Live', 'and follows it without being loaded again');
  });

  t.test('what becomes of the balance follows from its own debits, not from those of devices', async (t) => {
    const user = await registerUser(server);
    // Nothing debits a person yet: the answers are those the server gives once something does.
    const sums = { events: 1, input_tokens: 0, output_tokens: 0, total_tokens: 5_000 };
    const from = new Date(month).toISOString();
    const to = new Date(month + days * DAY_MS).toISOString();
    const own = { ...sums, cost: 1_000, device: null };
    const device = { ...sums, cost: 70_000, device: '00000000-0000-4000-8000-000000000000' };
    const summary = { from, to, totals: { ...sums, cost: 71_000 }, series: [own, device] };
    const outlook = async (remaining: number, series: readonly object[]) => {
      const balance = { allocated: 10_000, used: 1_000, reserved: 20, remaining, debt: 0 };
      const answers = {
        '**/users/me/balance': balance,
        '**/sync/stream': {},
        '**/summary?group_by=device*': { ...summary, series },
      };
      return pageOn(t, user, 10, answers);
    };
    const left = 8_000 - 100 * (days - 10);
    const { month: pace, balance: text } = await outlook(8_000, [own, device]);
    t.match(
      pace,
      `about ${(days * 100).toLocaleString('en-US')} are debited in all, and ${left.toLocaleString('en-US')} left`,
    );
    t.match(text, /Set aside for running requests\s+20\b/);
    const end = new Date(month + 15 * DAY_MS).toLocaleDateString('en-US', {
      month: 'short',
      day: 'numeric',
      timeZone: 'UTC',
    });
    t.match((await outlook(500, [own, device])).month, `used up around ${end}`);
    t.match((await outlook(500, [device])).month, 'Nothing was debited from the account this month');
  });

  t.test('the ledger verifies', (t) => server.verifyLedger(t));
}

t.end();
