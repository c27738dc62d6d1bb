import { Readable } from 'node:stream';
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getUser } from '../../auth/guards/user-guard.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { exportText } from './export.js';
import { BalanceSchema, ExportSchema, ProfileSchema } from './schemas.js';

const ExportAccountSchema = Type.Object({ profile: ProfileSchema });

interface ExportOptions {
  readonly database: Database;
  readonly callerDatabase: CallerDatabase;
}

/** Serves everything held about a person as a file: `GET /users/me/export`. */
export const exportRoutes: FastifyPluginAsyncTypebox<ExportOptions> = async (app, { database, callerDatabase }) => {
  describeRoutes(app, { tags: ['Users'] });

  app.get(
    '/users/me/export',
    {
      // HEAD would read every row and send none.
      exposeHeadRoute: false,
      schema: {
        operationId: 'exportMyData',
        summary: 'Download everything held about you as a JSON file; a file that was cut off is not valid JSON',
        response: { 200: ExportSchema },
      },
    },
    async (request, reply) => {
      const caller = getUser(request);
      // Both are read before the first byte is sent, so that a failure here is still answered as an error.
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
