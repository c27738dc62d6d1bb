import { Readable } from 'node:stream';
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getUser, requireUser } from '../../auth/guards/user-guard.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { exportText } from './export.js';
import { BalanceSchema, ExportSchema, ProfileSchema } from './schemas.js';

const ExportAccountSchema = Type.Object({ profile: ProfileSchema });

/** `GET /users/me/export`. */
export const exportRoutes: FastifyPluginAsyncTypebox<{ database: Database; callerDatabase: CallerDatabase }> = async (
  app,
  { database, callerDatabase },
) => {
  describeRoutes(app, { tags: ['Users'] });
  requireUser(app);

  app.get(
    '/users/me/export',
    {
      // HEAD would read everything to answer nothing.
      exposeHeadRoute: false,
      schema: {
        summary: 'Everything held about the person, as a file; one that was cut off ends in the middle of the JSON',
        response: { 200: ExportSchema },
      },
    },
    async (request, reply) => {
      const caller = getUser(request);
      // Both before the first byte, so that what is wrong from the start is answered as an error.
      const account = await database.call('export_account', { p_caller: caller }, ExportAccountSchema);
      const balance = await callerDatabase.call(caller, 'my_balance', {}, BalanceSchema);
      const text = exportText(callerDatabase, caller, { exported_at: new Date().toISOString(), ...account, balance });
      return reply
        .type('application/json; charset=utf-8')
        .header('content-disposition', 'attachment; filename="tokenledger-export.json"')
        .header('cache-control', 'no-store')
        .send(Readable.from(text, { objectMode: false }));
    },
  );
};
