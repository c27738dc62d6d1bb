import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { getOptionalUser, getRefusal } from '../guards/user-guard.js';
import { sha256Hex } from '../tokens/crypto.js';
import { EndedSessionsSchema, LogoutSchema } from './schemas.js';

/** Serves `POST /auth/logout`, for whoever has one of the two tokens of a session. */
export const logoutRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Accounts'] });

  app.post(
    '/auth/logout',
    {
      schema: {
        operationId: 'logOut',
        summary: 'End this session, or every session with "all"; their tokens stop working at once',
        description:
          'The bearer ends its session, and a refresh token its own; either of them will do, also where the other is over.',
        body: Type.Union([LogoutSchema, Type.Null()]),
        response: { 200: EndedSessionsSchema },
      },
    },
    async (request) => {
      const { all: p_all = false, refresh_token } = request.body ?? {};
      const p_caller = getOptionalUser(request);
      if (p_caller === undefined && refresh_token === undefined)
        throw getRefusal(request) ?? new ApiError('MISSING_TOKEN');
      const sessions = {
        p_all,
        ...(p_caller && { p_caller }),
        ...(refresh_token !== undefined && { p_token_hash: sha256Hex(refresh_token) }),
      };
      return await database.call('log_out', sessions, EndedSessionsSchema);
    },
  );
};
