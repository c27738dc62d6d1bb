import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { callDatabase } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { errors } from '../../platform/http/error-schema.js';
import { decodeCursor, NextCursor, nextCursor, PageQuerySchema } from '../../platform/http/pagination.js';
import type { Services } from '../../services.js';
import { requireUser, userOf } from '../guards/user-guard.js';
import { EndedSessionsSchema, LogoutSchema, SessionParamsSchema, SessionSchema } from './schemas.js';

const tags = ['Accounts'];
const security = [{ userToken: [] }];
const endedOf = shapeOf(EndedSessionsSchema);
const sessionsOf = shapeOf(Type.Array(SessionSchema));
const PositionSchema = Type.Object({ at: Type.String({ maxLength: 40 }), id: Type.String({ format: 'uuid' }) });

/** What a person does with their sessions. */
export const ownSessionRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  requireUser(app, services);
  const { database } = services;

  app.post(
    '/auth/logout',
    {
      schema: {
        tags,
        security,
        summary: 'End this session, or with "all" every session; their tokens end at once',
        body: Type.Union([LogoutSchema, Type.Null()]),
        response: { 200: EndedSessionsSchema, ...errors(400, 401, 413, 415) },
      },
    },
    async (request) => {
      const sessions = { p_caller: userOf(request), p_all: request.body?.all ?? false };
      return endedOf(await callDatabase(() => database.rpc('log_out', sessions)));
    },
  );

  app.get(
    '/auth/sessions',
    {
      schema: {
        tags,
        security,
        summary: 'The running sessions, newest first',
        querystring: PageQuerySchema,
        response: {
          200: Type.Object({ sessions: Type.Array(SessionSchema), next_cursor: NextCursor }),
          ...errors(400, 401),
        },
      },
    },
    async (request) => {
      const { limit, cursor } = request.query;
      const before = decodeCursor(PositionSchema, cursor);
      const page = {
        p_caller: userOf(request),
        p_limit: limit,
        ...(before !== undefined && { p_before_at: before.at, p_before_id: before.id }),
      };
      const sessions = sessionsOf(await callDatabase(() => database.rpc('list_sessions', page)));
      return { sessions, next_cursor: nextCursor(sessions, limit, ({ created_at, id }) => ({ at: created_at, id })) };
    },
  );

  app.delete(
    '/auth/sessions/:id',
    {
      schema: {
        tags,
        security,
        summary: 'End one session',
        params: SessionParamsSchema,
        response: { 200: EndedSessionsSchema, ...errors(400, 401, 404) },
      },
    },
    async (request) => {
      const session = { p_caller: userOf(request), p_session_id: request.params.id };
      return endedOf(await callDatabase(() => database.rpc('end_session', session)));
    },
  );
};
