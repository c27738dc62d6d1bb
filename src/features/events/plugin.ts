import type { FastifyPluginAsync } from 'fastify';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import { createEventRecorder } from './event-recorder.js';
import { eventRoutes } from './routes.js';

/** What feature analytics need from the application. */
export interface EventsOptions {
  readonly database: Database;
  readonly callerDatabase: CallerDatabase;
  /** How many full months of events are kept. */
  readonly retentionMonths: number;
}

/** Feature analytics: which features of an extension people use, and how often. */
export const events: FastifyPluginAsync<EventsOptions> = async (app, { database, callerDatabase, retentionMonths }) => {
  await app.register(eventRoutes, { recorder: createEventRecorder(database, retentionMonths), callerDatabase });
};
