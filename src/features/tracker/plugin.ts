import type { FastifyPluginAsync } from 'fastify';
import { requireTracker } from '../../auth/guards/tracker-guard.js';
import type { Config } from '../../config/config.js';
import type { Database } from '../../platform/database/client/database.js';
import { signupRoutes } from './signup-routes.js';
import { createTrackerMeter } from './tracker-meter.js';
import { trackingRoutes } from './tracking-routes.js';

/** Dependencies of the prompt tracking routes. */
export interface TrackerOptions {
  readonly database: Database;
  readonly config: Config['tracker'];
}

/** Serves contract 2: an account's prompt and token counters, for clients that signed up by e-mail alone. */
export const tracker: FastifyPluginAsync<TrackerOptions> = async (app, { database, config }) => {
  if (config.hasEmailOnlySignup) await app.register(signupRoutes, { database });
  await app.register(async (scope) => {
    requireTracker(scope);
    await scope.register(trackingRoutes, { meter: createTrackerMeter(database), threshold: config.promptThreshold });
  });
};
