import { Type } from '@sinclair/typebox';
import type { Config } from '../config/config.js';
import { finishReset } from '../metering/monthly-reset.js';
import { AnyResult, type Database, LONG_TIMEOUT_MS } from '../platform/database/client/database.js';
import { reportMaintenance } from '../platform/metrics/report.js';

const MaintainedSchema = Type.Object({ ran: Type.Boolean() });
const CountSchema = Type.Integer({ minimum: 0 });
const DroppedSchema = Type.Object({ month: Type.Union([Type.String(), Type.Null()]), dropped: Type.Boolean() });

const LONG = { timeoutMs: LONG_TIMEOUT_MS };

/** Begins the month's period where that is configured and due, and brings all balances into the one that runs. */
async function resetWhenDue(database: Database, monthlyReset: Config['monthlyReset']): Promise<boolean> {
  const settings = monthlyReset && { p_default_tokens: monthlyReset.deviceTokens };
  const isReset = settings !== undefined && (await database.call('start_period_when_due', settings, Type.Boolean()));
  await finishReset(database);
  return isReset;
}

/** Has all balances look at thresholds that were changed, some at a time. */
async function renewAlerts(database: Database): Promise<void> {
  while ((await database.call('renew_alerts', {}, CountSchema)) > 0);
}

/** Drops the months retention keeps no longer, up to the first one somebody is reading; returns how many. */
async function dropExpiredMonths(database: Database, months: number): Promise<number> {
  for (let dropped = 0; ; dropped += 1) {
    const outcome = await database.call('drop_expired_month', { p_retention_months: months }, DroppedSchema, LONG);
    if (!outcome.dropped) return dropped;
  }
}

/**
 * Runs one round of the database's own maintenance, as the configuration wants it, and returns what it did. Each step is
 * a transaction of its own, so that none holds locks for another; what cannot be done now is done in another round.
 */
export async function maintain(
  database: Database,
  { usage, monthlyReset }: Pick<Config, 'usage' | 'monthlyReset'>,
): Promise<unknown> {
  const months = { p_retention_months: usage.retentionMonths };
  // First what others wait for: a step that fails leaves out those after it, for this round.
  const maintained = await database.call('maintain', months, MaintainedSchema, LONG);
  const reset = await resetWhenDue(database, monthlyReset);
  await renewAlerts(database);
  const dropped_months = await dropExpiredMonths(database, usage.retentionMonths);
  const seals = await database.call('keep_seals', {}, MaintainedSchema, LONG);
  const done = { ...maintained, reset, dropped_months, seals };
  reportMaintenance(done);
  return done;
}

/** Proves the books where that was not done for so many hours. */
export function checkLedger(database: Database, hours: number): Promise<unknown> {
  return database.call('check_ledger', { p_hours: hours }, AnyResult, LONG);
}
