import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { ADMIN_TOKEN_SECONDS, getActor, requireAdmin, signAdminToken } from '../../auth/guards/admin-guard.js';
import { toRateLimitKey } from '../../auth/limits/address.js';
import type { Database } from '../../platform/database/client/database.js';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { changePassword, logIn } from './login.js';
import { AdminLoginSchema, AdminSessionSchema, ChangePasswordSchema } from './session-schemas.js';

/** `POST /admin/login`. */
export const loginRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: session'] });
  app.post(
    '/admin/login',
    {
      schema: {
        summary: 'Log in as admin',
        body: AdminLoginSchema,
        response: { 200: AdminSessionSchema, ...errors(401) },
      },
    },
    async (request) => {
      const admin = await logIn(database, request.body, toRateLimitKey(request));
      return { token: signAdminToken(app, admin), expires_in: ADMIN_TOKEN_SECONDS };
    },
  );
};

/** What an admin does with the own account. */
export const sessionRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: session'] });
  requireAdmin(app);

  app.post(
    '/admin/password',
    {
      schema: {
        summary: 'Change the own password; every earlier token ends, a new one is answered',
        body: ChangePasswordSchema,
        response: { 200: AdminSessionSchema },
      },
    },
    async (request) => {
      const { id } = getActor(request);
      const version = await changePassword(database, getActor(request), request.body);
      return { token: signAdminToken(app, { id, version }), expires_in: ADMIN_TOKEN_SECONDS };
    },
  );
};
