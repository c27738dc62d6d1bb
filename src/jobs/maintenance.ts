import type { Config } from '../config/config.js';
import { AnyResult, type Database, LONG_TIMEOUT_MS } from '../platform/database/client/database.js';

/** Runs one round of the database's own maintenance, as the configuration wants it, and returns what it did. */
export function maintain(database: Database, config: Pick<Config, 'usage' | 'monthlyReset'>): Promise<unknown> {
  const settings = {
    p_retention_months: config.usage.retentionMonths,
    ...(config.monthlyReset !== undefined && { p_monthly_tokens: config.monthlyReset.deviceTokens }),
  };
  return database.call('maintain', settings, AnyResult, { timeoutMs: LONG_TIMEOUT_MS });
}
