import type { FastifyBaseLogger } from 'fastify';
import type { Config } from '../config/config.js';
import { createUpstream } from '../features/chat/openrouter/upstream.js';
import { reconcile } from '../features/chat/reconcile.js';
import { createBilling } from '../features/subscriptions/billing.js';
import { AnyResult, type Database, LONG_TIMEOUT_MS } from '../platform/database/client/database.js';

const INTERVAL_MS = 60_000;

/** One round of the database's own maintenance, as the configuration wants it; answers what it did. */
export function maintain(database: Database, config: Config): Promise<unknown> {
  return database.call(
    'maintain',
    {
      p_retention_months: config.usage.retentionMonths,
      ...(config.monthlyReset !== undefined && { p_monthly_tokens: config.monthlyReset.deviceTokens }),
    },
    AnyResult,
    { timeoutMs: LONG_TIMEOUT_MS },
  );
}

/**
 * Runs maintenance now and every minute: the database's own, then what only others know, Stripe and the upstream of chat.
 * Any number of servers may do so at once.
 * @returns stops the timer
 */
export function startMaintenance(database: Database, config: Config, log: FastifyBaseLogger): () => void {
  const upstream = config.chat && createUpstream(config.chat);
  const billing = createBilling(database, config.stripe);
  const attempt = (what: string, work: () => Promise<unknown>) =>
    work().catch((error: unknown) => log.warn({ err: error }, `${what} failed`));
  const run = async () => {
    await attempt('maintenance', () => maintain(database, config));
    if (upstream !== undefined) await attempt('correcting estimates', () => reconcile(database, upstream));
    await attempt('comparing subscriptions with Stripe', billing.reconcileWhenDue);
  };
  void run();
  const timer = setInterval(run, INTERVAL_MS);
  return () => {
    clearInterval(timer);
    void upstream?.close();
  };
}
