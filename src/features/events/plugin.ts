import type { FastifyPluginAsync } from 'fastify';
import { requireAdmin } from '../../auth/guards/admin-guard.js';
import { requireDeviceOrUser } from '../../auth/guards/device-or-user-guard.js';
import { requireUser } from '../../auth/guards/user-guard.js';
import type { Database } from '../../platform/database/client/database.js';
import type { Reads } from '../../platform/database/replica/read-database.js';
import { createEventRecorder } from './event-recorder.js';
import { recordingRoutes } from './recording-routes.js';
import { adminSummaryRoutes, summaryRoutes } from './summary-routes.js';

/** Dependencies of the feature analytics routes. */
export interface EventsOptions {
  readonly database: Database;
  readonly reads: Reads;
  /** How many full months of events are kept: older ones are refused. */
  readonly retentionMonths: number;
}

/** Serves feature analytics: which features of an extension people use, how often, and what numbers they report. */
export const events: FastifyPluginAsync<EventsOptions> = async (app, { database, reads, retentionMonths }) => {
  await app.register(async (scope) => {
    requireDeviceOrUser(scope, 'usage:write');
    await scope.register(recordingRoutes, { recorder: createEventRecorder(database, retentionMonths) });
  });
  await app.register(async (scope) => {
    requireUser(scope, 'usage:read');
    await scope.register(summaryRoutes, { reads });
  });
  await app.register(async (scope) => {
    requireAdmin(scope);
    await scope.register(adminSummaryRoutes, { reads });
  });
};
