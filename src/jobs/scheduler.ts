import type { FastifyBaseLogger } from 'fastify';

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
      await run().catch((error: unknown) => log.warn({ err: error }, `${name} failed`));
    }
    running = false;
  };
  void runAll();
  const timer = setInterval(runAll, intervalMs);
  return () => clearInterval(timer);
}
