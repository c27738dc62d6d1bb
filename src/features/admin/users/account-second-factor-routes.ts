import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import { createAccountNotices } from '../../../auth/notices.js';
import type { Database } from '../../../platform/database/client/database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { AccountParamsSchema, RemovedSecondFactorSchema } from './account-schemas.js';

interface AccountSecondFactorOptions {
  readonly database: Database;
  /** Where clients reach the server, for links in mails. */
  readonly publicUrl: string;
}

/** Serves what helps a person who lost their second factor; the scope it is registered in must require an admin. */
export const accountSecondFactorRoutes: FastifyPluginAsyncTypebox<AccountSecondFactorOptions> = async (
  app,
  { database, publicUrl },
) => {
  describeRoutes(app, { tags: ['Admin: users'] });
  const notices = createAccountNotices(app, publicUrl);

  app.delete(
    '/admin/users/:id/second-factor',
    {
      schema: {
        operationId: 'removeUserSecondFactor',
        summary: 'Remove the second factor of somebody who lost it, and end their sessions; they are told by mail',
        params: AccountParamsSchema,
        response: { 200: RemovedSecondFactorSchema, ...errors(404) },
      },
    },
    async (request) => {
      const account = { p_actor: getActor(request), p_user_id: request.params.id };
      return await notices.post('second_factor_off', (notice) =>
        database.call('take_account_second_factor', { ...account, ...notice }, RemovedSecondFactorSchema),
      );
    },
  );
};
