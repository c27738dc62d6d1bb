import type { FastifyPluginAsync } from 'fastify';
import { requireUser } from '../../auth/guards/user-guard.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import { createEventRecorder } from './event-recorder.js';
import { eventRoutes } from './routes.js';

/** Dependencies of the feature analytics routes. */
export interface EventsOptions {
  readonly database: Database;
  readonly callerDatabase: CallerDatabase;
  /** How many full months of events are kept: older ones are refused. */
  readonly retentionMonths: number;
}

/** Serves feature analytics: which features of an extension people use, and how often. */
export const events: FastifyPluginAsync<EventsOptions> = async (app, { database, callerDatabase, retentionMonths }) => {
  requireUser(app, 'usage:write');
  await app.register(eventRoutes, { recorder: createEventRecorder(database, retentionMonths), callerDatabase });
};
