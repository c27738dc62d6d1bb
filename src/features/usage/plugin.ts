import type { FastifyPluginAsync } from 'fastify';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import { adminUsageRoutes, userUsageRoutes } from './query-routes.js';
import { recordingRoutes } from './recording-routes.js';
import { createUsageRecorder } from './usage-recorder.js';

/** What usage tracking needs from the application. */
export interface UsageOptions {
  readonly database: Database;
  readonly callerDatabase: CallerDatabase;
  /** How many full months of events are kept. */
  readonly retentionMonths: number;
}

/** Contract 1: usage that extensions observed, and the questions people and admins ask of it. */
export const usage: FastifyPluginAsync<UsageOptions> = async (app, { database, callerDatabase, retentionMonths }) => {
  await app.register(recordingRoutes, { database, recorder: createUsageRecorder(database, retentionMonths) });
  await app.register(userUsageRoutes, { callerDatabase });
  await app.register(adminUsageRoutes, { database });
};
