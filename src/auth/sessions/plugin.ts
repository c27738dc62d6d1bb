import type { FastifyPluginAsync } from 'fastify';
import { requireUser } from '../guards/user-guard.js';
import type { LoginOptions } from './login.js';
import { loginRoutes } from './login-routes.js';
import { sessionRoutes } from './session-routes.js';

/** Serves accounts with a password, and the sessions of every account. */
export const sessionPlugin: FastifyPluginAsync<LoginOptions> = async (app, options) => {
  await app.register(loginRoutes, options);
  await app.register(async (scope) => {
    requireUser(scope, 'account');
    await scope.register(sessionRoutes, { database: options.database });
  });
};
