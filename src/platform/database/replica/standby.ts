import { setTimeout as delay } from 'node:timers/promises';
import { type Static, Type } from '@sinclair/typebox';
import { reportLag } from '../../metrics/reads.js';
import { createSingleFlight } from '../../single-flight.js';
import type { Database } from '../client/database.js';
import { describeConnectionProblem } from '../connection-problem.js';
import { createProgress } from './progress.js';

/** How often both databases are asked where they are, and how long an answer counts, in milliseconds. */
const LOOK_EVERY_MS = 1_000;
const KNOWN_MS = 3_000;
/** How long a read waits for the standby to be as far as the primary is, and how often it looks, in milliseconds. */
const PATIENCE_MS = 100;
const LOOK_AGAIN_MS = 5;

const StateSchema = Type.Object({
  is_standby: Type.Boolean(),
  position: Type.Number(),
  system: Type.Union([Type.String(), Type.Null()]),
  version: Type.Union([Type.String(), Type.Null()]),
});
type State = Static<typeof StateSchema>;

/** Where it is said that the standby is read, or why not. */
interface StandbyLog {
  readonly info: (details: object, message: string) => void;
  readonly warn: (details: object, message: string) => void;
}

/** A standby that may be read, as far as it keeps up. */
export interface Standby {
  /** Returns why it is not read at present, or undefined. */
  readonly problem: () => string | undefined;
  /**
   * Waits a moment for the standby to be as far as the primary was.
   * @param position of the primary, in bytes of its log
   * @param at when that was asked for, by `performance.now()`
   * @param since what was written before must be there: when whoever asks last wrote
   * @returns by how many milliseconds what is read there now is older than `at`; undefined where it is too old
   */
  readonly findLag: (position: number, at: number, since: number) => Promise<number | undefined>;
  /** Has it left alone until it answers again. */
  readonly reportFailure: (error: unknown) => void;
  readonly close: () => void;
}

const ask = (database: Database): Promise<State> => database.call('replication_state', {}, StateSchema);

/** Returns why a database is no standby of another, or undefined. */
function findMismatch(standby: State, primary: State): string | undefined {
  if (!standby.is_standby) return 'DATABASE_READ_URL is no standby: it takes writes';
  if (standby.system !== primary.system) return 'DATABASE_READ_URL is a standby of another database';
  if (standby.version !== primary.version) return 'the standby has not got the latest migration yet';
  return undefined;
}

/**
 * Watches a standby: once a second it is compared with the primary.
 * @param maxLagMs by how much what is read may be older than when it was asked for
 */
export function watchStandby(primary: Database, standby: Database, maxLagMs: number, log: StandbyLog): Standby {
  const progress = createProgress(maxLagMs + KNOWN_MS);
  const once = createSingleFlight<void>();
  let seen: { readonly position: number; readonly at: number } | undefined;
  let problem: string | undefined = 'the standby was not asked yet';
  let wasSaid: 'used' | 'left' | undefined;
  let impatientUntil = 0;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  const settle = (found: string | undefined) => {
    problem = found;
    const says = found === undefined ? 'used' : 'left';
    if (says === wasSaid || isClosed) return;
    wasSaid = says;
    if (found === undefined) log.info({}, 'the standby is read');
    else log.warn({ reason: found }, 'the standby is not read; the primary is');
  };

  /** Looks how far the standby is. @throws {DatabaseError} */
  const lookAtStandby = async (): Promise<State> => {
    const state = await ask(standby);
    seen = { position: state.is_standby ? state.position : 0, at: performance.now() };
    return state;
  };

  /** Waits until the standby is as far as a position, while that is not hopeless. @returns whether it is */
  const reach = async (position: number, at: number): Promise<boolean> => {
    for (;;) {
      if (seen !== undefined && seen.position >= position) return true;
      await once('standby', async () => void (await lookAtStandby()));
      if (seen !== undefined && seen.position >= position) return true;
      const now = performance.now();
      if (now < impatientUntil) return false;
      if (now - at > PATIENCE_MS) {
        impatientUntil = now + LOOK_EVERY_MS;
        return false;
      }
      await delay(LOOK_AGAIN_MS);
    }
  };

  const compare = async () => {
    const at = performance.now();
    // Of a primary that does not answer nothing is read anyway.
    const leading = await ask(primary).catch(() => undefined);
    if (leading === undefined) return;
    progress.note(at, leading.position);
    try {
      const following = await lookAtStandby();
      const isThere = following.is_standby && (await reach(leading.position, at));
      const lag = isThere ? 0 : progress.lagOf(seen?.position ?? 0, at);
      reportLag(lag);
      const isLate = lag > maxLagMs;
      settle(findMismatch(following, leading) ?? (isLate ? 'the standby is too far behind' : undefined));
    } catch (error) {
      settle(`the standby does not answer (${describeConnectionProblem(error)})`);
    }
  };
  const tick = async () => {
    await compare();
    if (!isClosed) timer = setTimeout(() => void tick(), LOOK_EVERY_MS).unref();
  };
  void tick();

  return {
    problem: () => {
      if (problem !== undefined) return problem;
      const isKnown = seen !== undefined && performance.now() - seen.at < KNOWN_MS;
      return isKnown ? undefined : 'the standby does not answer';
    },
    findLag: async (position, at, since) => {
      progress.note(at, position);
      if (await reach(position, at)) return 0;
      const lag = progress.lagOf(seen?.position ?? 0, at);
      return lag <= maxLagMs && at - lag >= since ? lag : undefined;
    },
    reportFailure: (error) => settle(`the standby does not answer (${describeConnectionProblem(error)})`),
    close: () => {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}
