import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { requireUser, userOf } from '../../auth/guards/user-guard.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { errors } from '../../platform/http/error-schema.js';
import { decodeCursor, nextCursor, PageQuerySchema } from '../../platform/http/pagination.js';
import type { Services } from '../../services.js';
import { BalanceSchema, LedgerItemSchema, LedgerSchema } from './schemas.js';

const tags = ['Users'];
const security = [{ userToken: [] }];
const balanceOf = shapeOf(BalanceSchema);
const entriesOf = shapeOf(Type.Array(LedgerItemSchema));
const PositionSchema = Type.Object({
  at: Type.String({ maxLength: 40 }),
  kind: Type.String({ maxLength: 20 }),
  id: Type.String({ format: 'uuid' }),
});

/** A person's tokens: `GET /users/me/balance` and `GET /users/me/ledger`. */
export const ledgerRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  requireUser(app, services);
  const { userDatabase } = services;

  app.get(
    '/users/me/balance',
    { schema: { tags, security, summary: 'The balance', response: { 200: BalanceSchema, ...errors(401) } } },
    async (request) => balanceOf(await userDatabase.call(userOf(request), (database) => database.rpc('my_balance'))),
  );

  app.get(
    '/users/me/ledger',
    {
      schema: {
        tags,
        security,
        summary: 'Every grant, correction, debit and hold, newest first',
        querystring: PageQuerySchema,
        response: { 200: LedgerSchema, ...errors(400, 401) },
      },
    },
    async (request) => {
      const { limit, cursor } = request.query;
      const after = decodeCursor(PositionSchema, cursor);
      const page = {
        p_limit: limit,
        ...(after !== undefined && { p_after_at: after.at, p_after_kind: after.kind, p_after_id: after.id }),
      };
      const call = userDatabase.call(userOf(request), (database) => database.rpc('my_ledger', page));
      const entries = entriesOf(await call);
      const next_cursor = nextCursor(entries, limit, ({ created_at, kind, id }) => ({ at: created_at, kind, id }));
      return { entries, next_cursor };
    },
  );
};
