import pg from 'pg';
import { until } from '../until.js';
import type { TestDatabase } from './test-database.js';

/** What a third session holds while others run into it. */
export interface HeldLock {
  /** A statement that locks, as `select … for update` or `lock table …`. */
  readonly statement: string;
  readonly values?: readonly unknown[];
  /** How many sessions must be waiting, for it or for each other, before it is released. */
  readonly waiting: number;
}

const COUNT_WAITING = `
  select count(*)::integer as waiting from pg_stat_activity
   where datname = current_database() and wait_event_type = 'Lock'`;

/**
 * Lets requests meet in the database instead of by luck: holds a lock while they are sent, waits until as many sessions
 * stand before it as told, and releases them together.
 *
 * @param send begins the requests, and resolves to their answers
 * @throws where so many never wait: a test that no longer makes its race fails
 */
export async function meetAtLock<T>(database: TestDatabase, lock: HeldLock, send: () => Promise<T>): Promise<T> {
  const holder = new pg.Client({ connectionString: database.adminUrl });
  await holder.connect();
  try {
    await holder.query('begin');
    await holder.query(lock.statement, [...(lock.values ?? [])]);
    const answers = send();
    // Whoever awaits the answers is told of a failure; until then it is not unhandled.
    answers.catch(() => {});
    await until(`${lock.waiting} sessions wait for a lock`, async () => {
      const [row] = await database.sql<{ waiting: number }>(COUNT_WAITING);
      return (row?.waiting ?? 0) >= lock.waiting || undefined;
    });
    await holder.query('commit');
    return await answers;
  } finally {
    await holder.end();
  }
}

/** A lock on the balance of a device or an account, which every debit, hold and grant takes first. */
export function balanceLock(subject: string, waiting: number): HeldLock {
  return { statement: 'select from balances where subject_id = $1 for update', values: [subject], waiting };
}

/** A lock on a row of an account, which whatever changes the account or adds to it takes. */
export function accountLock(user: string, waiting: number): HeldLock {
  return { statement: 'select from users where id = $1 for update', values: [user], waiting };
}

/** A lock on the pool of the devices or of the accounts, which whatever grants tokens takes first. */
export function poolLock(kind: 'device' | 'user', waiting: number): HeldLock {
  return { statement: 'select from budgets where subject_kind = $1 for update', values: [kind], waiting };
}

/** A lock that every insertion into a table runs into. */
export function insertionLock(table: string, waiting: number): HeldLock {
  return { statement: `lock table ${table} in share mode`, waiting };
}
