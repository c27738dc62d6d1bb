import type { FastifyPluginAsync } from 'fastify';
import { requireUser } from '../../auth/guards/user-guard.js';
import { createPlaces } from '../../auth/limits/places.js';
import { getLimiter } from '../../auth/limits/rate-limits.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import { createChangeFeed, MAX_STREAMS_PER_PERSON } from './change-feed.js';
import { documentRoutes } from './document-routes.js';
import { syncStreamRoutes } from './stream-routes.js';
import { syncRoutes } from './sync-routes.js';

/** Dependencies of the settings routes. */
export interface SettingsOptions {
  readonly database: Database;
  readonly callerDatabase: CallerDatabase;
  /** Calls back when the server begins to drain, as streams never end by themselves. */
  readonly onDrain: (listener: () => void) => void;
}

/** The paths contract 5 gives the same document, each with its group and the name of its operations in the API's documentation. */
const DOCUMENT_PATHS = [
  ['/users/me/settings', 'Users', 'MySettings'],
  ['/sync/settings', 'Settings', 'Settings'],
] as const;

/** Serves contract 5's settings: one document per person, merged between devices, with a stream of changes. */
export const settings: FastifyPluginAsync<SettingsOptions> = async (app, { database, callerDatabase, onDrain }) => {
  const places = createPlaces(getLimiter(app).add, 'streams', MAX_STREAMS_PER_PERSON);
  const changeFeed = createChangeFeed(database, app.log, places);
  onDrain(changeFeed.close);
  app.addHook('preClose', async () => changeFeed.close());
  requireUser(app, 'settings');
  for (const [path, tag, name] of DOCUMENT_PATHS) {
    await app.register(documentRoutes, { database, callerDatabase, path, tag, name });
  }
  await app.register(syncRoutes, { database, callerDatabase });
  await app.register(syncStreamRoutes, { changeFeed });
};
