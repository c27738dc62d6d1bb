import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { ADMIN_TOKEN_SECONDS, getActor, signAdminToken } from '../../../auth/guards/admin-guard.js';
import { toNetwork } from '../../../auth/limits/address.js';
import { getLimiter } from '../../../auth/limits/rate-limits.js';
import type { Database } from '../../../platform/database/client/database.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { changePassword } from './login.js';
import { AdminSessionSchema, ChangePasswordSchema } from './session-schemas.js';

/** Serves an admin's own password; the scope it is registered in must require an admin. */
export const passwordRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: session'] });

  app.post(
    '/admin/password',
    {
      schema: {
        summary: 'Change your password; ends every earlier token and returns a new one',
        body: ChangePasswordSchema,
        response: { 200: AdminSessionSchema },
      },
    },
    async (request) => {
      const { id } = getActor(request);
      const limiter = getLimiter(app);
      const version = await changePassword(database, limiter, getActor(request), request.body, toNetwork(request));
      return { token: signAdminToken(app, { id, version }), expires_in: ADMIN_TOKEN_SECONDS };
    },
  );
};
