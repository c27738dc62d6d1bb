import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { StartupError } from '../../../config/startup-error.js';
import { findErrorCode } from '../error-code.js';

/** How long a migration waits for a table: whoever wants it after that waits behind the migration. */
export const LOCK_TIMEOUT = '1s';
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 5_000;
const PATIENCE_MS = 5 * 60_000;
/** SQLSTATEs of a lock that was not to be had in time, and of a deadlock. */
const KEPT: ReadonlySet<string | undefined> = new Set(['55P03', '40P01']);

/** How migrations wait for those who use a table. */
export interface LockWaits {
  /** How long a migration is tried again, in milliseconds; five minutes by default. */
  readonly patienceMs?: number;
  /** Is told who is waited for, each time. */
  readonly onWait?: (sentence: string) => void;
}

/** The session that has had a transaction open for longest, of those that use our tables. */
const HOLDER = `
  select a.pid, a.application_name as name, extract(epoch from clock_timestamp() - a.xact_start)::integer as seconds
    from pg_stat_activity a
   where a.pid <> pg_backend_pid() and a.datname = current_database() and a.xact_start is not null
     and exists (
       select from pg_locks l join pg_class c on c.oid = l.relation
        where l.pid = a.pid and l.granted and c.relnamespace::regnamespace::text in ('public', 'private')
     )
   order by a.xact_start limit 1`;

/** Says in a sentence who is waited for. */
async function describeHolder(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ pid: number; name: string; seconds: number }>(HOLDER);
  const [holder] = rows;
  if (holder === undefined) return 'A migration did not get a table in time';
  const { pid, name, seconds } = holder;
  return `A migration waits for a session that has had a transaction open for ${seconds} s (pid ${pid}, "${name}")`;
}

/**
 * Runs a step of migrating again for as long as it gives up because others keep a table. In between they go on, as whoever
 * came after the migration would otherwise wait behind it.
 * @throws {StartupError} naming who keeps it, once patience is over
 */
export async function withPatience<T>(client: pg.Client, waits: LockWaits, step: () => Promise<T>): Promise<T> {
  const { patienceMs = PATIENCE_MS, onWait } = waits;
  const deadline = performance.now() + patienceMs;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    try {
      return await step();
    } catch (error) {
      if (!KEPT.has(findErrorCode(error))) throw error;
      const holder = await describeHolder(client);
      if (performance.now() >= deadline) {
        throw new StartupError(
          `${holder}; it was given up and left nothing of itself: end that session, or try later`,
          {
            cause: error,
          },
        );
      }
      onWait?.(`${holder}; trying again in ${pause / 1_000} s`);
      await delay(pause);
    }
  }
}
