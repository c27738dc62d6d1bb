import type { FastifyBaseLogger } from 'fastify';
import type { Config } from './config/config.js';
import { reconcile } from './features/chat/reconcile.js';
import { createUpstream } from './features/chat/upstream.js';
import { createPayments } from './features/subscriptions/payments.js';
import { reconcileWhenDue } from './features/subscriptions/reconcile.js';
import { maintain } from './jobs/maintenance.js';
import { type Job, startJobs } from './jobs/scheduler.js';
import type { DatabaseClient } from './platform/database/client/client.js';

/**
 * Starts what the server does by itself, now and every minute: the database's own maintenance, then what only others
 * know, the upstream of chat and Stripe. Any number of servers may do so at once.
 *
 * @returns stops it
 */
export function startBackgroundJobs(database: DatabaseClient, config: Config, log: FastifyBaseLogger): () => void {
  const upstream = createUpstream(config);
  const payments = createPayments(config);
  const jobs: Job[] = [{ name: 'maintenance', run: () => maintain(database, config) }];
  if (upstream !== undefined) jobs.push({ name: 'correcting estimates', run: () => reconcile(database, upstream) });
  if (payments !== undefined) {
    jobs.push({ name: 'comparing subscriptions with Stripe', run: () => reconcileWhenDue(database, payments) });
  }
  const stop = startJobs(log, jobs);
  return () => {
    stop();
    void upstream?.close();
  };
}
