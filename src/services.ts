import type { Config } from './config.js';
import type { DatabaseClient } from './database/client.js';
import type { DeviceMeter } from './metering/device-meter.js';

/** What the routes of every capability are given. */
export interface Services {
  readonly config: Config;
  readonly database: DatabaseClient;
  readonly deviceMeter: DeviceMeter;
}
