import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { ADMIN_TOKEN_SECONDS, signAdminToken } from '../../../auth/guards/admin-guard.js';
import type { Database } from '../../../platform/database/client/database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { logIn } from './login.js';
import { AdminLoginSchema, AdminSessionSchema } from './session-schemas.js';

/** Serves `POST /admin/login`, the one admin route that is open to everyone. */
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
      const admin = await logIn(database, request.body, request);
      return { token: signAdminToken(app, admin), expires_in: ADMIN_TOKEN_SECONDS };
    },
  );
};
