import { randomBytes } from 'node:crypto';
import { registerUser } from '../../helpers/accounts.js';
import { insertionLock, meetAtLock } from '../../helpers/db/meet-at-lock.js';
import { openTestDatabase } from '../../helpers/db/test-database.js';
import { send } from '../../helpers/http/server-load.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { countEvents, createUsage, type SentUsage } from '../../helpers/observed-usage.js';
import t from '../../helpers/run/tap.js';

const database = await openTestDatabase(t);
const environment = { JWT_SECRET: randomBytes(32).toString('base64url') };
const server = await openTestServer(t, { database, environment });
const replica = await openTestServer(t, { database, environment });
const urls = [await server.listen(), await replica.listen()] as const;
const DAY_MS = 24 * 60 * 60 * 1_000;

const range = (count: number) => Array.from({ length: count }, (_, n) => n);

/** Sends bodies at once, through both servers in turn. */
function sendAll(token: string, bodies: readonly object[]) {
  return Promise.all(bodies.map((body, n) => send(urls[n % 2] ?? urls[0], '/api/usage', { body, token })));
}

async function deadlocks(): Promise<number> {
  const [row] = await database.sql<{ deadlocks: number }>(
    'select deadlocks::integer from pg_stat_database where datname = current_database()',
  );
  return row?.deadlocks ?? -1;
}

t.test('50 parallel copies of one event are one event: one is new, 49 are told its id', async (t) => {
  const user = await registerUser(server);
  for (const event of [createUsage(), createUsage({ event_id: 'k' })]) {
    const copies = range(50).map(() => event);
    const answers = await meetAtLock(database, insertionLock('usage_events', 2), () => sendAll(user.token, copies));
    t.equal(answers.filter((answer) => answer?.status === 201).length, 1);
    t.equal(answers.filter((answer) => answer?.status === 200 && answer.body['duplicate'] === true).length, 49);
    t.equal(new Set(answers.map((answer) => answer?.body['id'])).size, 1);
  }
  t.equal(await countEvents(server, user.id), 2);
  await server.verifyLedger(t);
});

t.test('of 30 parallel events with one key and different bodies exactly one is recorded', async (t) => {
  const user = await registerUser(server);
  const events = range(30).map((n) => createUsage({ inputTokens: n, event_id: 'k' }));
  const answers = await meetAtLock(database, insertionLock('usage_events', 2), () => sendAll(user.token, events));
  t.equal(answers.filter((answer) => answer?.status === 201).length, 1);
  t.equal(answers.filter((answer) => answer?.status === 422).length, 29);
  t.equal(await countEvents(server, user.id), 1);
  const winner = answers.findIndex((answer) => answer?.status === 201);
  const rows = await database.sql('select input_tokens::integer from usage_events where user_id = $1', [user.id]);
  t.strictSame(rows, [{ input_tokens: winner }], 'the one that was told so');
  await server.verifyLedger(t);
});

t.test(
  'parallel batches of the same events in opposite order keep each once, and none waits for another in a ring',
  async (t) => {
    const [one, other] = [await registerUser(server), await registerUser(server)];
    // Over four months, two of which have no partition yet, and every third with a key.
    const events: SentUsage[] = range(400).map((n) =>
      createUsage({
        timestamp: Date.now() - (n % 4) * 31 * DAY_MS - n * 60_000,
        provider: n % 2 === 0 ? 'claude' : 'gemini',
        ...(n % 3 === 0 && { event_id: `key ${n}` }),
      }),
    );
    const backwards = events.toReversed();
    const before = await deadlocks();
    for (let round = 0; round < 3; round += 1) {
      const slice = (list: readonly SentUsage[]) => ({ events: list.slice(0, 100 + round * 100) });
      const bodies = range(12).map((n) => slice(n % 4 < 2 ? events : backwards));
      const answers = await Promise.all(
        [one, other].flatMap((user) =>
          bodies.map((body, n) => send(urls[n % 2] ?? urls[0], '/usage', { body, token: user.token })),
        ),
      );
      t.strictSame([...new Set(answers.map((answer) => answer?.status))], [200], 'every batch is answered');
      t.ok(
        answers.every((answer) => answer?.body['refused'] === 0),
        'nothing is refused',
      );
    }
    t.equal(await deadlocks(), before, 'no deadlock had to be broken');
    // The slices of both orders leave out the middle at first; one whole batch completes it.
    await sendAll(one.token, [{ events }]);
    t.equal(await countEvents(server, one.id), events.length);
    const rows = await database.sql(
      'select sum(events)::integer as events, sum(total_tokens)::integer as tokens from usage_rollups where subject_id = $1',
      [one.id],
    );
    t.strictSame(rows, [{ events: 400, tokens: 400 * 222 }]);
    await server.verifyLedger(t);
  },
);

t.test('single events, batches and devices at once in one quarter hour are all counted', async (t) => {
  const user = await registerUser(server);
  const device = await server.registerDevice(1_000);
  const at = Date.now() - 2 * DAY_MS;
  const single = range(100).map((n) => createUsage({ timestamp: at + n }));
  const batches = range(10).map((b) => ({
    events: range(20).map((n) => createUsage({ timestamp: at + 1_000 + b * 20 + n })),
  }));
  // A batch of events of each server, and one of uses.
  const [answers, uses] = await meetAtLock(database, insertionLock('usage_events', 3), () =>
    Promise.all([
      sendAll(user.token, [...single, ...batches]),
      Promise.all(range(50).map(() => server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' }))),
    ]),
  );
  t.ok(answers.every((answer) => answer?.status === 201 || answer?.status === 200));
  t.ok(uses.every(({ statusCode }) => statusCode === 200));
  t.equal(await countEvents(server, user.id), 300);
  await server.verifyLedger(t);
});

t.end();
