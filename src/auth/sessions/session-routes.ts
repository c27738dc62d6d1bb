import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import type { Database } from '../../platform/database/client/database.js';
import { errors } from '../../platform/http/error-schema.js';
import { NextCursor, PageQuerySchema, paginate, TimePositionSchema } from '../../platform/http/pagination.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { getUser } from '../guards/user-guard.js';
import { EndedSessionsSchema, SessionParamsSchema, SessionSchema } from './schemas.js';

const SessionsSchema = Type.Array(SessionSchema);

/** Serves a person's own sessions: list them, end one. */
export const sessionRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Accounts'] });

  app.get(
    '/auth/sessions',
    {
      schema: {
        operationId: 'listSessions',
        summary: 'List your sessions, newest first',
        querystring: PageQuerySchema,
        response: {
          200: Type.Object({ sessions: Type.Array(SessionSchema), next_cursor: NextCursor }),
        },
      },
    },
    async (request) => {
      const { rows: sessions, next_cursor } = await paginate(
        request.query,
        TimePositionSchema,
        (p_limit, before) => {
          const place = before && { p_before_at: before.at, p_before_id: before.id };
          return database.call('list_sessions', { p_caller: getUser(request), p_limit, ...place }, SessionsSchema);
        },
        ({ created_at, id }) => ({ at: created_at, id }),
      );
      return { sessions, next_cursor };
    },
  );

  app.delete(
    '/auth/sessions/:id',
    {
      schema: {
        operationId: 'endSession',
        summary: 'End one session',
        params: SessionParamsSchema,
        response: { 200: EndedSessionsSchema, ...errors(404) },
      },
    },
    async (request) => {
      const session = { p_caller: getUser(request), p_session_id: request.params.id };
      return await database.call('end_session', session, EndedSessionsSchema);
    },
  );
};
