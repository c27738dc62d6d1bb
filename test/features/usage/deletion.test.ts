import { randomBytes, randomUUID } from 'node:crypto';
import { createApiKey, registerUser, sendWith, type TestUser } from '../../helpers/accounts.js';
import { openTestDatabase } from '../../helpers/db/test-database.js';
import { send } from '../../helpers/http/server-load.js';
import { openTestServer } from '../../helpers/http/test-server.js';
import { countEvents, createUsage, linkDevice, readId, recordAll } from '../../helpers/observed-usage.js';
import t from '../../helpers/run/tap.js';
import type { Summary } from '../../helpers/summaries.js';

const database = await openTestDatabase(t);
const environment = { JWT_SECRET: randomBytes(32).toString('base64url') };
const server = await openTestServer(t, { database, environment });
const replica = await openTestServer(t, { database, environment });
const urls = [await server.listen(), await replica.listen()] as const;
const QUARTER_MS = 15 * 60_000;
/** Returns the start of a quarter hour that no other test uses. */
let quarters = 10;
const newQuarter = () => {
  quarters += 2;
  return Math.floor(Date.now() / QUARTER_MS) * QUARTER_MS - quarters * QUARTER_MS;
};
const range = (count: number) => Array.from({ length: count }, (_, n) => n);

async function readTotals(user: TestUser): Promise<Summary['totals']> {
  return (await user.as('GET', '/api/usage/summary')).json<Summary>().totals;
}

/** Reads what the rollups and the totals hold for a quarter hour. */
async function bookedIn(bucket: number): Promise<object> {
  const [row] = await database.sql(
    `select (select count(*)::integer from usage_rollups where bucket = $1) as rollups,
            (select coalesce(sum(events), 0)::integer from usage_rollups where bucket = $1) as rolled_up,
            (select coalesce(sum(events), 0)::integer from usage_totals where bucket = $1) as totalled`,
    [new Date(bucket)],
  );
  return row ?? {};
}

t.test('a deleted event is gone from the list, the summary, the rollups and the totals', async (t) => {
  const user = await registerUser(server);
  const at = newQuarter();
  const ids = await recordAll(
    t,
    user,
    range(3).map((n) => createUsage({ timestamp: at + n, inputTokens: n + 1, outputTokens: 10 })),
  );
  t.match(await readTotals(user), { events: 3, input_tokens: 6, output_tokens: 30 });
  const response = await user.as('DELETE', `/api/usage/${ids[1]}`);
  t.equal(response.statusCode, 200);
  t.strictSame(response.json(), { id: ids[1], deleted: true });
  t.match(await readTotals(user), { events: 2, prompts: 2, input_tokens: 4, output_tokens: 20, total_tokens: 24 });
  const { usage } = (await user.as('GET', '/api/usage')).json<{ usage: { id: string }[] }>();
  t.strictSame(
    usage.map(({ id }) => id),
    [ids[2], ids[0]],
  );
  t.strictSame(await bookedIn(at), { rollups: 1, rolled_up: 2, totalled: 2 });
  t.equal((await user.as('DELETE', `/api/usage/${ids[1]}`)).statusCode, 404, 'a second time there is nothing');
  await server.verifyLedger(t);
});

t.test('with the last event of a quarter hour its rollup goes, too', async (t) => {
  const user = await registerUser(server);
  const at = newQuarter();
  const events = [
    createUsage({ timestamp: at }),
    createUsage({ timestamp: at + 1, provider: 'claude', event_id: 'k' }),
  ];
  const [one = '', other = ''] = await recordAll(t, user, events);
  t.strictSame(await bookedIn(at), { rollups: 2, rolled_up: 2, totalled: 2 });
  await user.as('DELETE', `/usage/${one}`);
  t.strictSame(await bookedIn(at), { rollups: 1, rolled_up: 1, totalled: 1 });
  const key = await createApiKey(user);
  t.equal((await sendWith(server, key, 'DELETE', `/api/usage/${other}`)).statusCode, 200, 'an API key may, too');
  t.strictSame(await bookedIn(at), { rollups: 0, rolled_up: 0, totalled: 0 });
  t.equal((await user.as('POST', '/api/usage', events[0])).statusCode, 201, 'it may be recorded again');
  t.strictSame(await bookedIn(at), { rollups: 1, rolled_up: 1, totalled: 1 });
  await server.verifyLedger(t);
});

t.test("another person's event, a debited one, an unknown one is not found, and nothing changes", async (t) => {
  const user = await registerUser(server);
  const stranger = await registerUser(server);
  const device = await server.registerDevice();
  await linkDevice(server, device.id, user.id);
  const used = await server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' });
  const { sessionToken } = (
    await server.app.inject({ method: 'POST', url: '/api/signup', payload: { email: user.email } })
  ).json<{ sessionToken: string }>();
  await sendWith(server, sessionToken, 'POST', '/api/trackUsage', { usage: 1, tokenCount: 2 });
  const [tracked] = await database.sql<{ id: string }>(
    `select id from usage_events where user_id = $1 and source = 'tracker'`,
    [user.id],
  );
  const foreign = readId(await stranger.as('POST', '/api/usage', createUsage()));
  const before = await countEvents(server);
  const none = ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', randomUUID()];
  for (const id of [foreign, used.json<{ event_id: string }>().event_id, tracked?.id, ...none]) {
    const response = await user.as('DELETE', `/api/usage/${id}`);
    t.equal(response.statusCode, 404, String(id));
    t.match(response.json(), { code: 'USAGE_NOT_FOUND' });
  }
  for (const id of ['x', '%00', `urn:uuid:${foreign}`, `${foreign}0`, "'--"]) {
    t.equal((await stranger.as('DELETE', `/api/usage/${id}`)).statusCode, 400, id);
  }
  t.equal(await countEvents(server), before);
  await server.verifyLedger(t);
});

t.test('30 parallel deletions and as many recordings in one quarter hour keep the books exact', async (t) => {
  const at = newQuarter();
  const device = await server.registerDevice(1_000);
  const users = [await registerUser(server), await registerUser(server), await registerUser(server)];
  for (const round of range(4)) {
    const start = at + round * 1_000;
    const recorded = await Promise.all(
      users.map(async (user) => ({
        user,
        ids: await recordAll(
          t,
          user,
          range(10).map((n) => createUsage({ timestamp: start + n })),
        ),
      })),
    );
    const deletions = recorded.flatMap(({ user, ids }) =>
      ids.map((id, n) =>
        fetch(`${urls[n % 2]}/api/usage/${id}`, {
          method: 'DELETE',
          headers: { authorization: `Bearer ${user.token}` },
        }).then(({ status }) => status),
      ),
    );
    const recordings = users.flatMap(({ token }) =>
      range(10).map(async (n) => {
        const body = createUsage({ timestamp: start + 500 + n, provider: n % 2 === 0 ? 'chatgpt' : 'claude' });
        return (await send(urls[n % 2] ?? urls[0], '/api/usage', { body, token }))?.status;
      }),
    );
    const uses = range(10).map(() => server.as(device, 'POST', '/api/usage/log', { model_type: 'gpt-5' }));
    t.strictSame([...new Set(await Promise.all(deletions))], [200], 'each is deleted');
    t.strictSame([...new Set(await Promise.all(recordings))], [201], 'each is recorded');
    t.ok((await Promise.all(uses)).every(({ statusCode }) => statusCode === 200));
    t.match(await bookedIn(at), { rolled_up: 30 * (round + 1), totalled: 30 * (round + 1) });
    await server.verifyLedger(t);
  }
  t.match(await readTotals(users[0] ?? (await registerUser(server))), { events: 40, total_tokens: 40 * 222 });
});

t.test('one event deleted by 20 parallel requests is deleted once', async (t) => {
  const user = await registerUser(server);
  const id = readId(await user.as('POST', '/api/usage', createUsage({ timestamp: newQuarter() })));
  const statuses = await Promise.all(
    range(20).map(async () => (await user.as('DELETE', `/api/usage/${id}`)).statusCode),
  );
  t.strictSame(statuses.toSorted(), [200, ...range(19).map(() => 404)]);
  await server.verifyLedger(t);
});

t.test('a session that has ended deletes nothing', async (t) => {
  const user = await registerUser(server);
  const id = readId(await user.as('POST', '/api/usage', createUsage()));
  await database.sql('delete from private.sessions where user_id = $1', [user.id]);
  t.equal((await user.as('DELETE', `/api/usage/${id}`)).statusCode, 401);
  t.equal(await countEvents(server, user.id), 1);
  await server.verifyLedger(t);
});

t.end();
