import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getUser } from '../../auth/guards/user-guard.js';
import type { CallerDatabase } from '../../platform/database/client/caller-database.js';
import type { Reads } from '../../platform/database/replica/read-database.js';
import { PageQuerySchema, paginate } from '../../platform/http/pagination.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { BalanceSchema, LedgerItemSchema, LedgerSchema } from './schemas.js';

const EntriesSchema = Type.Array(LedgerItemSchema);
const PositionSchema = Type.Object({
  at: Type.String({ maxLength: 40 }),
  kind: Type.String({ maxLength: 20 }),
  id: Type.String({ format: 'uuid' }),
});

interface LedgerOptions {
  readonly callerDatabase: CallerDatabase;
  readonly reads: Reads;
}

/** Serves a person's tokens: `GET /users/me/balance` and `GET /users/me/ledger`. */
export const ledgerRoutes: FastifyPluginAsyncTypebox<LedgerOptions> = async (app, { callerDatabase, reads }) => {
  describeRoutes(app, { tags: ['Users'] });

  app.get(
    '/users/me/balance',
    {
      config: { apiKeyScope: 'usage:read' },
      schema: { operationId: 'getMyBalance', summary: 'Read your balance', response: { 200: BalanceSchema } },
    },
    async (request) => callerDatabase.call(getUser(request), 'my_balance', {}, BalanceSchema),
  );

  app.get(
    '/users/me/ledger',
    {
      config: { apiKeyScope: 'usage:read' },
      schema: {
        operationId: 'listMyLedger',
        responseHeaders: ['x-read-lag-ms'],
        summary: 'List your grants, corrections, debits and holds, newest first',
        querystring: PageQuerySchema,
        response: { 200: LedgerSchema },
      },
    },
    async (request) => {
      const { rows: entries, next_cursor } = await paginate(
        request.query,
        PositionSchema,
        (limit, after) => {
          const position = after && { p_after_at: after.at, p_after_kind: after.kind, p_after_id: after.id };
          const page = { p_limit: limit, ...position };
          return reads.forCaller(request, getUser(request), 'my_ledger', page, EntriesSchema);
        },
        ({ created_at, kind, id }) => ({ at: created_at, kind, id }),
      );
      return { entries, next_cursor };
    },
  );
};
