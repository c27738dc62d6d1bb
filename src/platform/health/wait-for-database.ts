import { setTimeout as delay } from 'node:timers/promises';
import { AnyResult, type Database } from '../database/client/database.js';
import { DatabaseError } from '../database/client/database-error.js';
import { describeConnectionProblem, findProblemCode } from '../database/connection-problem.js';
import { isPassingPoolerProblem, isPoolerProblem } from '../database/pooler-problem.js';

/** Where the server says that it waits. */
interface WaitLog {
  readonly warn: (details: object, message: string) => void;
}

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 5_000;

/** The codes of a database that is away, starting, silent or full. */
const AWAY: readonly string[] = [
  ...['ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH', 'ENETUNREACH', 'EPIPE', 'ETIMEDOUT', 'EAI_AGAIN'],
  ...['53300', '57P01', '57P03', 'PGRST001', 'PGRST003'],
];
/** Could not connect, or not ask which functions there are. */
const UNREACHABLE: readonly string[] = ['PGRST000', 'PGRST002'];
/** What is said of a database that is away where there is no better code; a host of two addresses says nothing. */
const AWAY_IN_WORDS = /^$|timeout|terminated/i;

/** Why a database is down for now. */
interface Outage {
  /** A code, and what it means. */
  readonly reason: string;
  readonly sentence: string;
}

/** Returns why a database is down for now; undefined where waiting would not help. */
function findOutage(error: unknown): Outage | undefined {
  if (!(error instanceof DatabaseError)) return undefined;
  const [code, reason] = [findProblemCode(error), describeConnectionProblem(error)];
  if (isPoolerProblem(code)) {
    return isPassingPoolerProblem(code)
      ? { reason, sentence: 'the pooler before the database does not serve' }
      : undefined;
  }
  const isDown = AWAY.includes(code) || (UNREACHABLE.includes(code) && AWAY_IN_WORDS.test(error.details ?? ''));
  return isDown ? { reason, sentence: 'the database cannot be reached' } : undefined;
}

/**
 * Waits while a database is down, and says so each time; what is wrong for good, such as a password, is not waited for.
 * @param stopping resolves where the server is to stop instead
 * @returns false where it is
 */
export async function waitForDatabase(database: Database, log: WaitLog, stopping: Promise<void>): Promise<boolean> {
  const stopped = stopping.then(() => true as const);
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    const outage = await database.call('write_problem', {}, AnyResult).then(() => undefined, findOutage);
    if (outage === undefined) return true;
    log.warn({ reason: outage.reason }, `${outage.sentence}; trying again in ${pause / 1_000} s`);
    if ((await Promise.race([stopped, delay(pause, false as const)])) === true) return false;
  }
}
