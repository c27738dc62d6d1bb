import type { FastifyPluginAsync } from 'fastify';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import { createChangeFeed } from './change-feed.js';
import { settingsRoutes } from './routes.js';
import { syncStreamRoutes } from './stream-routes.js';
import { syncRoutes } from './sync-routes.js';

/** What settings sync needs from the application. */
export interface SettingsOptions {
  readonly database: Database;
  readonly callerDatabase: CallerDatabase;
  /** Calls back when the server begins to drain, as a stream has no end of its own for which it could wait. */
  readonly onDrain: (listener: () => void) => void;
}

/** Contract 5, settings: one document a person, merged between devices, with a stream of changes. */
export const settings: FastifyPluginAsync<SettingsOptions> = async (app, { database, callerDatabase, onDrain }) => {
  const changeFeed = createChangeFeed(database, app.log);
  onDrain(changeFeed.close);
  app.addHook('preClose', async () => changeFeed.close());
  await app.register(settingsRoutes, { database, callerDatabase });
  await app.register(syncRoutes, { database, callerDatabase });
  await app.register(syncStreamRoutes, { changeFeed });
};
