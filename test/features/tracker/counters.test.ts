import { randomUUID } from 'node:crypto';
import { createTrackerMeter } from '../../../src/features/tracker/tracker-meter.js';
import { AnyResult } from '../../../src/platform/database/client/database.js';
import { registerUser } from '../../helpers/accounts.js';
import { LedgerChecksSchema, openTestServer } from '../../helpers/http/test-server.js';
import t from '../../helpers/run/tap.js';
import { readCounters, signUp, track } from '../../helpers/tracker.js';

const server = await openTestServer(t);
const url = await server.listen();
const { sql } = server.database;
const MOST = Number.MAX_SAFE_INTEGER;

const CHECK = 'tracker counters = sums of tracker rollups';

async function discrepancies() {
  const checks = await server.backend.database.call('verify_ledger', {}, LedgerChecksSchema);
  return checks.find(({ name }) => name === CHECK)?.discrepancies;
}

/** Changes an account's counters, and the rollups they sum up. */
async function countTo(userId: string, prompts: number, tokens: number): Promise<void> {
  await sql('update tracker_counters set prompts = $2, tokens = $3 where user_id = $1', [userId, prompts, tokens]);
  await sql(`update usage_rollups set prompts = $2, total_tokens = $3 where subject_id = $1 and source = 'tracker'`, [
    userId,
    prompts,
    tokens,
  ]);
}

t.test('a use that would carry a counter beyond what a number holds is refused, its neighbours are not', async (t) => {
  const full = await registerUser(server);
  const other = await registerUser(server);
  const [fullToken, otherToken] = [await signUp(server, full.email), await signUp(server, other.email)];
  await track(url, fullToken, { usage: 1, tokenCount: 1 });
  for (const [prompts, tokens, use] of [
    [MOST - 1, 0, { usage: 2, tokenCount: 0 }],
    [0, MOST - 1, { usage: 0, tokenCount: 2 }],
  ] as const) {
    await countTo(full.id, prompts, tokens);
    const [refused, neighbour] = await Promise.all([
      track(url, fullToken, use, 'kept-for-later'),
      track(url, otherToken, { usage: 1, tokenCount: 1 }),
    ]);
    t.match(refused, { status: 400, body: { code: 'COUNTER_FULL', error: /\S/ } });
    t.equal(neighbour.status, 200);
    t.match(await readCounters(server, full.id), { prompts: String(prompts), tokens: String(tokens) });
    const last = await track(url, fullToken, { usage: prompts === 0 ? 0 : 1, tokenCount: tokens === 0 ? 0 : 1 });
    t.match(last.body, { currentPromptCount: prompts && MOST, currentTokenCount: tokens && MOST });
  }
  await countTo(full.id, 0, 0);
  const later = await track(url, fullToken, { usage: 2, tokenCount: 0 }, 'kept-for-later');
  t.equal(later.status, 200, 'a refused use is not remembered under its key');
});

t.test('items of one call each see what the ones before counted; a stranger is refused alone', async (t) => {
  const user = await registerUser(server);
  const stranger = randomUUID();
  const answer = await server.backend.database.call(
    'track_usage',
    {
      p_items: [
        { user_id: user.id, usage: 1, token_count: 10, key: null },
        { user_id: stranger, usage: 1, token_count: 10, key: null },
        { user_id: user.id, usage: 2, token_count: 20, key: 'k' },
        { user_id: user.id, usage: 2, token_count: 20, key: 'k' },
        { user_id: user.id, usage: 2, token_count: 21, key: 'k' },
        { user_id: user.id, usage: 0, token_count: 0, key: null },
      ].map((item) => ({ ...item, version: 1, most_prompts: 100, most_tokens: 100 })),
    },
    AnyResult,
  );
  t.strictSame(answer, [
    { prompts: 1, tokens: 10 },
    { code: 'USER_NOT_FOUND' },
    { prompts: 3, tokens: 30 },
    { prompts: 3, tokens: 30 },
    { code: 'IDEMPOTENCY_MISMATCH' },
    { prompts: 3, tokens: 30 },
  ]);
  t.equal(await readCounters(server, stranger), undefined);
});

t.test('an item Postgres cannot read costs only itself', async (t) => {
  const user = await registerUser(server);
  const most = { prompts: MOST, tokens: MOST };
  const meter = createTrackerMeter(server.backend.database, { call: most, day: most });
  const use = (usage: number, id = user.id) =>
    meter.track({ id, version: 1 }, { usage, tokenCount: 1, idempotencyKey: undefined });
  const outcomes = await Promise.allSettled([use(1), use(-1), use(2 ** 40), use(1), use(1, 'nobody'), use(1)]);
  t.strictSame(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected', 'fulfilled', 'rejected', 'fulfilled'],
  );
  t.match(await readCounters(server, user.id), { prompts: '3', tokens: '3' });
});

t.test(
  'the books tell counters and rollups that differ, either way, and pass over accounts that are gone',
  async (t) => {
    const user = await registerUser(server);
    const token = await signUp(server, user.email);
    await track(url, token, { usage: 4, tokenCount: 40 });
    t.strictSame(await discrepancies(), []);

    await sql('update tracker_counters set prompts = 5 where user_id = $1', [user.id]);
    t.strictSame(await discrepancies(), [{ subject: user.id, stated: [5, 40], proven: [4, 40] }]);
    await sql('delete from tracker_counters where user_id = $1', [user.id]);
    t.strictSame(await discrepancies(), [{ subject: user.id, stated: [0, 0], proven: [4, 40] }]);
    await sql('insert into tracker_counters (user_id, prompts, tokens) values ($1, 4, 41)', [user.id]);
    t.strictSame(await discrepancies(), [{ subject: user.id, stated: [4, 41], proven: [4, 40] }]);

    await sql('delete from users where id = $1', [user.id]);
    t.equal(await readCounters(server, user.id), undefined, 'the counters go with their account');
    t.strictSame(await discrepancies(), []);
  },
);

t.end();
