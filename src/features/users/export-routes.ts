import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getUser } from '../../auth/guards/user-guard.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Database } from '../../platform/database/client/database.js';
import type { Reads } from '../../platform/database/replica/read-database.js';
import { type Files, readPatiently } from '../../platform/http/files.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { exportText, type ReadPage, RowsSchema } from './export.js';
import { BalanceSchema, ExportSchema, ProfileSchema } from './schemas.js';

const ExportAccountSchema = Type.Object({ profile: ProfileSchema });

interface ExportOptions {
  readonly database: Database;
  readonly callerDatabase: CallerDatabase;
  readonly reads: Reads;
  readonly files: Files;
}

/** Serves everything held about a person as a file: `GET /users/me/export`. */
export const exportRoutes: FastifyPluginAsyncTypebox<ExportOptions> = async (
  app,
  { database, callerDatabase, reads, files },
) => {
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
    (request, reply) => {
      const caller = getUser(request);
      const read: ReadPage = (name, page) =>
        readPatiently(() => reads.forCaller(request, caller, name, page, RowsSchema));
      return files.send(reply, caller.id, async () => {
        const account = await database.call('export_account', { p_caller: caller }, ExportAccountSchema);
        const balance = await callerDatabase.call(caller, 'my_balance', {}, BalanceSchema);
        const text = exportText(read, { exported_at: new Date().toISOString(), ...account, balance });
        return { type: 'application/json; charset=utf-8', name: 'tokenledger-export.json', text };
      });
    },
  );
};
