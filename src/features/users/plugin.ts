import type { FastifyPluginAsync } from 'fastify';
import { requireUser } from '../../auth/guards/user-guard.js';
import type { Caller } from '../../platform/database/client/caller.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import type { Reads } from '../../platform/database/replica/read-database.js';
import type { Files } from '../../platform/http/files.js';
import { ownDeviceRoutes } from './device-routes.js';
import { exportRoutes } from './export-routes.js';
import { ledgerRoutes } from './ledger-routes.js';
import { profileRoutes } from './profile-routes.js';

/** Dependencies of the routes of a person's own account. */
export interface UsersOptions {
  readonly database: Database;
  readonly callerDatabase: CallerDatabase;
  readonly reads: Reads;
  readonly files: Files;
  /** Cancels a person's subscription, before their account is deleted. */
  readonly cancelBilling: (caller: Caller) => Promise<void>;
  /** Where clients reach the server, for links in mails. */
  readonly publicUrl: string;
}

/** Serves a person's own account: profile, balance and ledger, devices, export and deletion. */
export const users: FastifyPluginAsync<UsersOptions> = async (app, options) => {
  const { database, callerDatabase, reads, files, cancelBilling, publicUrl } = options;
  requireUser(app, 'account');
  await app.register(profileRoutes, { database, cancelBilling, publicUrl });
  await app.register(ledgerRoutes, { callerDatabase, reads });
  await app.register(ownDeviceRoutes, { database, callerDatabase });
  await app.register(exportRoutes, { database, callerDatabase, reads, files });
};
