import type { FastifyBaseLogger } from 'fastify';
import { callDatabase, type DatabaseClient } from '../database/client.js';

const INTERVAL_MS = 60_000;

/**
 * Runs the database's own maintenance now and every minute. Any number of servers may do so at once.
 * @returns stops the timer
 */
export function startMaintenance(database: DatabaseClient, log: FastifyBaseLogger): () => void {
  const run = () =>
    callDatabase(() => database.rpc('maintain')).catch((error: unknown) =>
      log.warn({ err: error }, 'maintenance failed'),
    );
  void run();
  const timer = setInterval(run, INTERVAL_MS);
  return () => clearInterval(timer);
}
