import type { Config } from '../config/config.js';
import { callDatabase, type DatabaseClient, longCall } from '../platform/database/client/client.js';
import type { Json } from '../platform/database/client/types.js';

/** Runs one round of the database's own maintenance, as the configuration wants it, and returns what it did. */
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
