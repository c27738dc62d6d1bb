import type { FastifyPluginAsync } from 'fastify';
import { requireAdmin } from '../../auth/guards/admin-guard.js';
import { requireTracker } from '../../auth/guards/tracker-guard.js';
import { requireUser } from '../../auth/guards/user-guard.js';
import type { Config } from '../../config/config.js';
import type { Database } from '../../platform/database/client/database.js';
import { managedTrackerRoutes } from './managed-tracker-routes.js';
import { ownTrackerRoutes } from './own-tracker-routes.js';
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
    const meter = createTrackerMeter(database, config.bounds);
    await scope.register(trackingRoutes, { meter, threshold: config.promptThreshold });
  });
  await app.register(async (scope) => {
    requireUser(scope, 'account');
    await scope.register(ownTrackerRoutes, { database });
  });
  await app.register(async (scope) => {
    requireAdmin(scope);
    await scope.register(managedTrackerRoutes, { database });
  });
};
