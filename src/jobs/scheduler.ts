import type { FastifyBaseLogger } from 'fastify';
import { DatabaseError } from '../platform/database/client/database-error.js';
import { reportError } from '../platform/error-reports.js';
import { measureJob } from '../platform/metrics/report.js';

/** Work that is done again and again. */
export interface Job {
  /** Names it in the log, should it fail. */
  readonly name: string;
  readonly run: () => Promise<unknown>;
}

const INTERVAL_MS = 60_000;

/**
 * Runs jobs one after the other, now and at every interval. A failure is logged and holds up no other job; a round that
 * takes longer than the interval leaves the next one out.
 *
 * @returns stops the timer; a round under way goes on
 */
export function startJobs(log: FastifyBaseLogger, jobs: readonly Job[], intervalMs = INTERVAL_MS): () => void {
  let running = false;
  const runAll = async () => {
    if (running) return;
    running = true;
    for (const { name, run } of jobs) {
      await measureJob(name, run).catch((error: unknown) => {
        log.warn({ err: error }, `${name} failed`);
        // A database that is away fails all of them each minute, and is watched elsewhere.
        if (!(error instanceof DatabaseError && error.isUnavailable)) reportError(error, { kind: 'job', job: name });
      });
    }
    running = false;
  };
  void runAll();
  const timer = setInterval(runAll, intervalMs);
  return () => clearInterval(timer);
}
