import type { FastifyPluginAsync } from 'fastify';
import type { LoginOptions } from './login.js';
import { loginRoutes } from './login-routes.js';
import { sessionRoutes } from './session-routes.js';

/** Serves accounts with a password, and the sessions of every account. */
export const sessionPlugin: FastifyPluginAsync<LoginOptions> = async (app, options) => {
  await app.register(loginRoutes, options);
  await app.register(sessionRoutes, { database: options.database });
};
