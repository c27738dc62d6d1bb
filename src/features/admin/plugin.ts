import type { FastifyPluginAsync } from 'fastify';
import type { Database } from '../../platform/database/client/database.js';
import { budgetRoutes } from './budget-routes.js';
import { managedDeviceRoutes } from './device-routes.js';
import { reportRoutes } from './report-routes.js';
import { loginRoutes, sessionRoutes } from './session-routes.js';
import { userRoutes } from './user-routes.js';

/** What administration needs from the application. */
export interface AdminOptions {
  readonly database: Database;
  /** Tokens a new account starts with. */
  readonly defaultUserTokens: number;
}

/** Contract 3, the admin's side: log-in, budgets, devices, accounts, reports and the audit log. */
export const admin: FastifyPluginAsync<AdminOptions> = async (app, { database, defaultUserTokens }) => {
  await app.register(loginRoutes, { database });
  await app.register(sessionRoutes, { database });
  await app.register(budgetRoutes, { database });
  await app.register(managedDeviceRoutes, { database });
  await app.register(reportRoutes, { database });
  await app.register(userRoutes, { database, defaultUserTokens });
};
