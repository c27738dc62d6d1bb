import type { FastifyBaseLogger } from 'fastify';
import { reconcile } from '../chat/reconcile.js';
import { createUpstream } from '../chat/upstream.js';
import type { Config } from '../config.js';
import { callDatabase, type DatabaseClient, longCall } from '../database/client.js';
import type { Json } from '../database/types.js';
import { createPayments } from '../subscriptions/payments.js';
import { reconcileWhenDue } from '../subscriptions/reconcile.js';

const INTERVAL_MS = 60_000;

/** One round of the database's own maintenance, as the configuration wants it; answers what it did. */
export function maintain(database: DatabaseClient, config: Config): Promise<Json> {
  return callDatabase(() =>
    database
      .rpc('maintain', {
        p_retention_months: config.RETENTION_MONTHS,
        ...(config.MONTHLY_RESET === 'auto' && { p_monthly_tokens: config.DEFAULT_DEVICE_TOKENS }),
      })
      .abortSignal(longCall()),
  );
}

/**
 * Runs maintenance now and every minute: the database's own, then what only others know, Stripe and the upstream of chat.
 * Any number of servers may do so at once.
 * @returns stops the timer
 */
export function startMaintenance(database: DatabaseClient, config: Config, log: FastifyBaseLogger): () => void {
  const upstream = createUpstream(config);
  const payments = createPayments(config);
  const attempt = (what: string, work: () => Promise<unknown>) =>
    work().catch((error: unknown) => log.warn({ err: error }, `${what} failed`));
  const run = async () => {
    await attempt('maintenance', () => maintain(database, config));
    if (upstream !== undefined) await attempt('correcting estimates', () => reconcile(database, upstream));
    if (payments !== undefined) {
      await attempt('comparing subscriptions with Stripe', () => reconcileWhenDue(database, payments));
    }
  };
  void run();
  const timer = setInterval(run, INTERVAL_MS);
  return () => {
    clearInterval(timer);
    void upstream?.close();
  };
}
