import { randomBytes } from 'node:crypto';
import { registerUser, type TestUser } from '../../helpers/accounts.js';
import { insertionLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openTestDatabase } from '../../helpers/db/test-database.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { readCounters, signUp, track } from '../../helpers/tracker.js';

const database = await openTestDatabase(t);
const environment = { JWT_SECRET: randomBytes(32).toString('base64url') };
const server = await openTestServer(t, { database, environment });
const replica = await openTestServer(t, { database, environment });
const urls = [await server.listen(), await replica.listen()] as const;

const range = (count: number) => Array.from({ length: count }, (_, n) => n);
const sorted = (numbers: unknown[]) => numbers.map(Number).sort((a, b) => a - b);

t.test('100 parallel uses of one account are counted exactly, and each is told a count of its own', async (t) => {
  const user = await registerUser(server);
  const token = await signUp(server, user.email);
  const answers = await meetAtLock(database, insertionLock('tracker_counters', 2), () =>
    Promise.all(range(100).map((n) => track(urls[n % 2] ?? urls[0], token, { usage: 1, tokenCount: 7 }))),
  );
  t.strictSame(
    sorted(answers.map(({ body }) => body['currentPromptCount'])),
    range(100).map((n) => n + 1),
  );
  for (const { status, body } of answers) {
    t.equal(status, 200);
    t.equal(body['currentTokenCount'], Number(body['currentPromptCount']) * 7, 'both counts are of one moment');
  }
  t.match(await readCounters(server, user.id), { prompts: '100', tokens: '700' });
  await server.verifyLedger(t);
});

t.test('2,000 parallel uses of 10 accounts through two servers are counted exactly', async (t) => {
  const users: TestUser[] = [];
  for (const _ of range(10)) users.push(await registerUser(server));
  const trackers = await Promise.all(users.map(async ({ id, email }) => ({ id, token: await signUp(server, email) })));
  const calls = trackers.flatMap(({ id, token }) =>
    range(200).map((n) => ({ id, token, url: urls[n % 2] ?? urls[0] })),
  );
  const shuffled = calls.map((call) => ({ call, rank: Math.random() })).sort((a, b) => a.rank - b.rank);
  const answers = await meetAtLock(database, insertionLock('tracker_counters', 2), () =>
    Promise.all(
      shuffled.map(async ({ call }) => ({
        ...(await track(call.url, call.token, { usage: 2, tokenCount: 3 })),
        id: call.id,
      })),
    ),
  );
  t.strictSame([...new Set(answers.map(({ status }) => status))], [200], 'all were answered');
  for (const { id } of trackers) {
    const counts = answers.filter((answer) => answer.id === id).map(({ body }) => body['currentPromptCount']);
    t.strictSame(
      sorted(counts),
      range(200).map((n) => (n + 1) * 2),
      'no count was told twice',
    );
    t.match(await readCounters(server, id), { prompts: '400', tokens: '600' });
  }
  const [events] = await database.sql(
    `select count(*)::integer as events from usage_events where source = 'tracker' and user_id = any ($1)`,
    [trackers.map(({ id }) => id)],
  );
  t.strictSame(events, { events: 2_000 });
  await server.verifyLedger(t);
});

t.test(
  'accounts deleted while they are counted for are answered 200 or 404, and the others are not disturbed',
  async (t) => {
    const users: TestUser[] = [];
    for (const _ of range(12)) users.push(await registerUser(server));
    const trackers = await Promise.all(
      users.map(async ({ id, email }) => ({ id, token: await signUp(server, email) })),
    );
    const use = { usage: 1, tokenCount: 1 };
    const calls = range(25).flatMap((n) =>
      trackers.map(async ({ id, token }) => ({ id, status: (await track(urls[n % 2] ?? urls[0], token, use)).status })),
    );
    const deleted = trackers.slice(0, 6).map(({ id }) => id);
    for (const id of deleted) await database.sql('delete from users where id = $1', [id]);
    const answers = await Promise.all(calls);
    for (const { id } of trackers) {
      const statuses = new Set(answers.filter((answer) => answer.id === id).map(({ status }) => status));
      const allowed = deleted.includes(id) ? [200, 404] : [200];
      t.ok(
        [...statuses].every((status) => allowed.includes(status)),
        [...statuses].join(),
      );
    }
    for (const { id } of trackers.slice(6)) t.match(await readCounters(server, id), { prompts: '25', tokens: '25' });
    await server.verifyLedger(t);
  },
);

t.end();
