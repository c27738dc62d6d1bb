import type { FastifyPluginAsync } from 'fastify';
import { requireAdmin } from '../../auth/guards/admin-guard.js';
import { requireUser } from '../../auth/guards/user-guard.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import { adminUsageRoutes, userUsageRoutes } from './query-routes.js';
import { recordingRoutes } from './recording-routes.js';
import { createUsageRecorder } from './usage-recorder.js';

/** Dependencies of the usage routes. */
export interface UsageOptions {
  readonly database: Database;
  readonly callerDatabase: CallerDatabase;
  /** How many full months of events are kept: older ones count in summaries only. */
  readonly retentionMonths: number;
}

/** Serves contract 1: records the usage extensions observe, and reports it to people and admins. */
export const usage: FastifyPluginAsync<UsageOptions> = async (app, { database, callerDatabase, retentionMonths }) => {
  await app.register(async (scope) => {
    requireUser(scope, 'usage:write');
    await scope.register(recordingRoutes, { database, recorder: createUsageRecorder(database, retentionMonths) });
  });
  await app.register(async (scope) => {
    requireUser(scope, 'usage:read');
    await scope.register(userUsageRoutes, { callerDatabase });
  });
  await app.register(async (scope) => {
    requireAdmin(scope);
    await scope.register(adminUsageRoutes, { database });
  });
};
