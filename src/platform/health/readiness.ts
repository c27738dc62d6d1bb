import { setTimeout as delay } from 'node:timers/promises';
import { Type } from '@sinclair/typebox';
import { StartupError } from '../../config/startup-error.js';
import type { Database } from '../database/client/database.js';
import { DatabaseError } from '../database/client/database-error.js';
import { describeOutage } from '../database/connection-problem.js';
import { type AppliedMigration, compareMigrations } from '../database/migrations/compare.js';
import { expectedMigrations } from '../database/migrations/migration-files.js';
import { createSingleFlight } from '../single-flight.js';

/** Whether the server can do its work. */
export interface Readiness {
  /**
   * Asks the database which migrations it has.
   * @returns what stands in the way, or undefined
   */
  readonly problem: () => Promise<string | undefined>;
  /** From now on the server is not ready: it finishes what it has and stops. */
  readonly drain: () => void;
  readonly isDraining: () => boolean;
  /** Has something done when the server begins to drain. */
  readonly onDrain: (listener: () => void) => void;
}

/** How long the database may take to answer, in milliseconds. */
const LONGEST_LOOK_MS = 2_000;
/** How long it is waited for where it was asked lately: Kubernetes, for one, waits for a second. */
const SHORT_LOOK_MS = 300;
/** How long what was found counts as lately, in milliseconds. */
const KNOWN_MS = 30_000;
const WriteProblemSchema = Type.Object({ problem: Type.Union([Type.String(), Type.Null()]) });
const AppliedMigrationsSchema = Type.Array(Type.Object({ version: Type.String(), sha256: Type.String() }));
const UPDATE = 'run "npm run migrate" (or "supabase db push")';
/** The Data API's code for a function that does not exist. */
const UNKNOWN_FUNCTION = 'PGRST202';

/** Asks the database which migrations it has; undefined where it cannot tell. */
async function askForMigrations(database: Database): Promise<AppliedMigration[] | undefined> {
  try {
    return await database.call('applied_migrations', {}, AppliedMigrationsSchema);
  } catch (error) {
    if (!(error instanceof DatabaseError) || error.code !== UNKNOWN_FUNCTION) throw error;
    return undefined;
  }
}

/**
 * Compares the database's migrations with the program's.
 *
 * @returns a line for each one that is missing, unknown or altered; or undefined
 * @throws {StartupError} where the program's own files are not as they were written
 */
export async function schemaProblem(database: Database): Promise<string | undefined> {
  const expected = await expectedMigrations();
  const applied = await askForMigrations(database);
  if (applied === undefined) {
    return `The database has none of this server's tables and functions, or those of a version before the first release: ${UPDATE}`;
  }
  const { pending, conflicts } = compareMigrations(expected, applied);
  const missing = pending.map(
    ({ version, name }) => `Migration ${version}_${name} is missing from the database: ${UPDATE}`,
  );
  const problems = [...conflicts, ...missing];
  return problems.length === 0 ? undefined : problems.join('\n');
}

/** Makes sure that the database is the program's. @throws {StartupError} where it is not, or cannot be reached */
export async function requireSchema(database: Database): Promise<void> {
  const problem = await schemaProblem(database).catch((error: unknown) => {
    if (error instanceof StartupError) throw error;
    throw new StartupError(describeOutage(error), { cause: error });
  });
  if (problem !== undefined) throw new StartupError(problem);
}

/** Returns why the database takes no writes, or undefined. */
async function writeProblem(database: Database): Promise<string | undefined> {
  if (database.refusesWrites?.() === true) return 'The database refused to write: it is read-only, or its disk is full';
  const { problem } = await database.call('write_problem', {}, WriteProblemSchema);
  return problem ?? undefined;
}

/** What a look found, and when it ended, by `performance.now()`. */
interface Finding {
  readonly problem: string | undefined;
  readonly at: number;
}

/**
 * Looks for what stands in the way; whoever asks meanwhile is given the same answer. Nobody waits for a database that is
 * slow: it is as ready as it was a moment ago, until it has not answered for too long.
 */
function createLook(database: Database): () => Promise<string | undefined> {
  const once = createSingleFlight<string | undefined>();
  let begunAt = 0;
  let latest: Finding | undefined;

  const look = async () => {
    begunAt = performance.now();
    try {
      const problem = (await schemaProblem(database)) ?? (await writeProblem(database));
      latest = { problem, at: performance.now() };
      return problem;
    } catch (error) {
      latest = undefined;
      throw error;
    }
  };
  /** Waits for a look that takes long only where nothing newer is known. */
  const findMeanwhile = async () => {
    await delay(SHORT_LOOK_MS, undefined, { ref: false });
    const now = performance.now();
    if (latest !== undefined && now - latest.at < KNOWN_MS && now - begunAt < LONGEST_LOOK_MS) return latest.problem;
    await delay(begunAt + LONGEST_LOOK_MS - now, undefined, { ref: false });
    return 'The database does not answer';
  };
  return () => {
    const looking = once('look', look);
    return Promise.race([looking, findMeanwhile()]);
  };
}

export function createReadiness(database: Database): Readiness {
  let draining = false;
  const listeners: (() => void)[] = [];
  const look = createLook(database);
  return {
    problem: async () => (draining ? 'shutting down' : look()),
    isDraining: () => draining,
    drain: () => {
      draining = true;
      for (const listener of listeners) listener();
    },
    onDrain: (listener) => {
      listeners.push(listener);
    },
  };
}
