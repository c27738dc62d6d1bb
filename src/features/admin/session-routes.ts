import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { ADMIN_TOKEN_SECONDS, actorOf, issueAdminToken, requireAdmin } from '../../auth/guards/admin-guard.js';
import { toNetwork } from '../../auth/limits/address.js';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';
import { changePassword, logIn } from './login.js';
import { AdminLoginSchema, AdminSessionSchema, ChangePasswordSchema } from './session-schemas.js';

const tags = ['Admin: session'];

/** `POST /admin/login`. */
export const loginRoutes: FastifyPluginAsyncTypebox<Services> = async (app, { database }) => {
  app.post(
    '/admin/login',
    {
      schema: {
        tags,
        summary: 'Log in as admin',
        body: AdminLoginSchema,
        response: { 200: AdminSessionSchema, ...errors(400, 401, 413, 415) },
      },
    },
    async (request) => {
      const admin = await logIn(database, request.body, toNetwork(request));
      return { token: issueAdminToken(app, admin), expires_in: ADMIN_TOKEN_SECONDS };
    },
  );
};

/** What an admin does with the own account. */
export const sessionRoutes: FastifyPluginAsyncTypebox<Services> = async (app, { database }) => {
  requireAdmin(app);

  app.post(
    '/admin/password',
    {
      schema: {
        tags,
        security: [{ adminToken: [] }],
        summary: 'Change the own password; every earlier token ends, a new one is answered',
        body: ChangePasswordSchema,
        response: { 200: AdminSessionSchema, ...errors(400, 401, 413, 415) },
      },
    },
    async (request) => {
      const { id } = actorOf(request);
      const version = await changePassword(database, actorOf(request), request.body);
      return { token: issueAdminToken(app, { id, version }), expires_in: ADMIN_TOKEN_SECONDS };
    },
  );
};
