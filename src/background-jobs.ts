import type { FastifyBaseLogger } from 'fastify';
import type { Config } from './config/config.js';
import { createModelWeighing } from './features/chat/model-weights.js';
import { createUpstream } from './features/chat/openrouter/upstream.js';
import { reconcile } from './features/chat/reconcile.js';
import { createBilling } from './features/subscriptions/billing.js';
import { maintain } from './jobs/maintenance.js';
import { type Job, startJobs } from './jobs/scheduler.js';
import type { Database } from './platform/database/client/database.js';

/**
 * Starts what the server does by itself, now and every minute: the database's own maintenance, then what only others
 * know, the upstream of chat and Stripe. Any number of servers may do so at once.
 *
 * @param wakeMail looks for mails that wait, where there is a mail server: those another server left behind
 * @returns stops it
 */
export async function startBackgroundJobs(
  database: Database,
  config: Config,
  log: FastifyBaseLogger,
  wakeMail?: () => void,
): Promise<() => void> {
  const upstream = config.chat && createUpstream(config.chat);
  const billing = await createBilling(database, config.stripe);
  const jobs: Job[] = [{ name: 'maintenance', run: () => maintain(database, config) }];
  if (upstream !== undefined) {
    jobs.push({ name: 'correcting estimates', run: () => reconcile(database, upstream) });
    jobs.push({ name: 'weighing models', run: createModelWeighing(database, upstream, config.chat?.weightPrice) });
  }
  jobs.push({ name: 'comparing subscriptions with Stripe', run: () => billing.reconcileWhenDue(log) });
  if (wakeMail !== undefined) jobs.push({ name: 'waking the outbox', run: async () => wakeMail() });
  const stop = startJobs(log, jobs);
  return () => {
    stop();
    void upstream?.close();
  };
}
