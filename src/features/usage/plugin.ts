import type { FastifyPluginAsync } from 'fastify';
import { requireAdmin } from '../../auth/guards/admin-guard.js';
import { requireUser } from '../../auth/guards/user-guard.js';
import type { Database } from '../../platform/database/client/database.js';
import type { Reads } from '../../platform/database/replica/read-database.js';
import type { Files } from '../../platform/http/files.js';
import { adminUsageRoutes, userUsageRoutes } from './query-routes.js';
import { recordingRoutes } from './recording-routes.js';
import { createUsageRecorder } from './usage-recorder.js';

/** Dependencies of the usage routes. */
export interface UsageOptions {
  readonly database: Database;
  readonly reads: Reads;
  readonly files: Files;
  /** How many full months of events are kept: older ones count in summaries only. */
  readonly retentionMonths: number;
}

/** Serves contract 1: records the usage extensions observe, and reports it to people and admins. */
export const usage: FastifyPluginAsync<UsageOptions> = async (app, { database, reads, files, retentionMonths }) => {
  await app.register(async (scope) => {
    requireUser(scope, 'usage:write');
    await scope.register(recordingRoutes, { database, recorder: createUsageRecorder(database, retentionMonths) });
  });
  await app.register(async (scope) => {
    requireUser(scope, 'usage:read');
    await scope.register(userUsageRoutes, { reads, files });
  });
  await app.register(async (scope) => {
    requireAdmin(scope);
    await scope.register(adminUsageRoutes, { reads, files });
  });
};
