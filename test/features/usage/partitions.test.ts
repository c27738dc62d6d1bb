import pg from 'pg';
import { openTestDatabase } from '../../helpers/db/test-database.js';
import t from '../../helpers/run/tap.js';
import { untilTrue } from '../../helpers/until.js';

const database = await openTestDatabase(t);
const LOCK = `hashtext('private.ensure_usage_partition')`;
const SESSIONS = 6;

/** Runs a body with sessions of their own, and ends them after it. */
async function withSessions<T>(count: number, body: (sessions: pg.Client[]) => Promise<T>): Promise<T> {
  const sessions = Array.from({ length: count }, () => new pg.Client({ connectionString: database.adminUrl }));
  try {
    await Promise.all(sessions.map((session) => session.connect()));
    return await body(sessions);
  } finally {
    await Promise.all(sessions.map((session) => session.end()));
  }
}

/** Resolves once so many sessions wait for the lock of the partitions. */
const waiting = (count: number) =>
  untilTrue(async () => {
    const [row] = await database.sql<{ waiting: number }>(
      `select count(*)::integer as waiting from pg_locks l join pg_database d on d.oid = l.database
        where l.locktype = 'advisory' and not l.granted and d.datname = current_database()`,
    );
    return row?.waiting === count;
  });

/** Records an event of a month, in a transaction of its own. */
async function recordIn(session: pg.Client, month: string, isolation: string): Promise<void> {
  await session.query(`begin isolation level ${isolation}`);
  try {
    await session.query('select private.ensure_usage_partition($1)', [month]);
    await session.query(
      `insert into public.usage_events (subject_id, source, model, provenance, period, occurred_at)
       values (gen_random_uuid(), 'extension', 'gpt-5', 'client_reported', 1, $1)`,
      [month],
    );
    await session.query('commit');
  } catch (error) {
    await session.query('rollback');
    throw error;
  }
}

/** How many events of a month there are, and how many partitions it has. */
async function contents(month: string) {
  return database.sql(
    `select (select count(*)::integer from public.usage_events where occurred_at = $1::timestamptz) as events,
            (select count(*)::integer from private.usage_partitions()
              where lower_bound = date_trunc('month', $1::timestamptz, 'UTC')) as partitions`,
    [month],
  );
}

for (const [isolation, month] of [
  ['read committed', '2030-01-15T12:00Z'],
  ['repeatable read', '2030-02-15T12:00Z'],
  ['serializable', '2030-03-15T12:00Z'],
] as const) {
  t.test(`sessions that find a month missing at once all record in it (${isolation})`, async (t) => {
    await withSessions(SESSIONS + 1, async ([holder, ...sessions]) => {
      await holder?.query(`select pg_advisory_lock(${LOCK})`);
      // Every session has looked and found nothing by the time it waits.
      const recorded = sessions.map((session) => recordIn(session, month, isolation));
      const settled = Promise.allSettled(recorded);
      await waiting(SESSIONS);
      await holder?.query(`select pg_advisory_unlock(${LOCK})`);
      const failures = (await settled).flatMap((result) =>
        result.status === 'rejected' ? [String(result.reason)] : [],
      );
      t.strictSame(failures, []);
      t.strictSame(await contents(month), [{ events: SESSIONS, partitions: 1 }]);
    });
  });
}

t.test('a session whose predecessor took the month back makes it itself', async (t) => {
  const month = '2030-04-15T12:00Z';
  await withSessions(2, async ([first, second]) => {
    await first?.query('begin');
    await first?.query('select private.ensure_usage_partition($1)', [month]);
    const recorded = second && recordIn(second, month, 'read committed');
    await waiting(1);
    await first?.query('rollback');
    await t.resolves(Promise.resolve(recorded));
    t.strictSame(await contents(month), [{ events: 1, partitions: 1 }]);
  });
});

t.test('months that are there are found without the lock', async (t) => {
  await withSessions(2, async ([holder, session]) => {
    await holder?.query(`select pg_advisory_lock(${LOCK})`);
    const now = new Date().toISOString();
    if (session) await recordIn(session, now, 'read committed');
    t.strictSame(await contents(now), [{ events: 1, partitions: 1 }]);
  });
});

t.end();
