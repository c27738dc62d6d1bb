import type { FastifyBaseLogger } from 'fastify';
import type { Config } from './config/config.js';
import { createModelWeighing } from './features/chat/model-weights.js';
import { createUpstream } from './features/chat/openrouter/upstream.js';
import { reconcile } from './features/chat/reconcile.js';
import { createBilling } from './features/subscriptions/billing.js';
import type { Front } from './front.js';
import { archiveMonth } from './jobs/archiving.js';
import { checkLedger, maintain } from './jobs/maintenance.js';
import { type Job, startJobs } from './jobs/scheduler.js';
import type { Database } from './platform/database/client/database.js';

/** How long an event waits at most before it is sent. */
const WEBHOOK_INTERVAL_MS = 5_000;

/**
 * Starts what the server does by itself, now and every minute: the database's own maintenance, then what only others
 * know, the upstream of chat and Stripe. Any number of servers may do so at once.
 *
 * @param wake has somebody look for what waits to be sent: what another server left behind, too
 * @returns stops it
 */
export async function startBackgroundJobs(
  database: Database,
  config: Config,
  log: FastifyBaseLogger,
  wake: Front['wake'] = () => {},
): Promise<() => void> {
  const upstream = config.chat && createUpstream(config.chat);
  const billing = await createBilling(database, config.stripe);
  const jobs: Job[] = [{ name: 'maintenance', run: () => maintain(database, config) }];
  if (upstream !== undefined) {
    jobs.push({ name: 'correcting estimates', run: () => reconcile(database, upstream) });
    jobs.push({ name: 'weighing models', run: createModelWeighing(database, upstream, config.chat?.weightPrice) });
  }
  jobs.push({ name: 'comparing subscriptions with Stripe', run: () => billing.reconcileWhenDue(log) });
  if (config.ledgerCheckHours > 0) {
    jobs.push({ name: 'checking the ledger', run: () => checkLedger(database, config.ledgerCheckHours) });
  }
  jobs.push({
    name: 'waking the outbox',
    run: async () => {
      wake('alert-mails');
      wake('mails');
    },
  });
  // What a server that is gone had begun.
  jobs.push({ name: 'carrying on bulk changes', run: async () => wake('bulk-changes') });
  const stop = startJobs(log, jobs);
  // By itself, as a month may take minutes, and the others are due every one.
  const archiving = { name: 'archiving months', run: () => archiveMonth(database, config.usage.archiveMonths) };
  const stopArchiving = startJobs(log, [archiving]);
  const timer = setInterval(() => wake('webhooks'), WEBHOOK_INTERVAL_MS);
  return () => {
    stop();
    stopArchiving();
    clearInterval(timer);
    void upstream?.close();
  };
}
