import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { DeletedApiKeySchema } from '../../../auth/api-keys/schemas.js';
import { getActor } from '../../../auth/guards/admin-guard.js';
import { EndedSessionsSchema } from '../../../auth/sessions/schemas.js';
import type { Database } from '../../../platform/database/client/database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { PageQuerySchema, paginate, TimePositionSchema } from '../../../platform/http/pagination.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { AccountParamsSchema, AccountSessionListSchema, AccountSessionsSchema } from './account-schemas.js';

const Id = Type.String({ format: 'uuid' });
const SessionOfAccountSchema = Type.Object({ id: Id, session_id: Id });
const KeyOfAccountSchema = Type.Object({ id: Id, key_id: Id });

/** Serves the sessions of one account, and the end of single ones and of single keys; the scope must require an admin. */
export const credentialRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: users'] });

  app.get(
    '/admin/users/:id/sessions',
    {
      schema: {
        operationId: 'listUserSessions',
        summary: 'List where an account is signed in, newest first',
        params: AccountParamsSchema,
        querystring: PageQuerySchema,
        response: { 200: AccountSessionsSchema, ...errors(404) },
      },
    },
    async (request) => {
      const account = { p_actor: getActor(request), p_user_id: request.params.id };
      const { rows: sessions, next_cursor } = await paginate(
        request.query,
        TimePositionSchema,
        (p_limit, before) => {
          const page = { ...account, p_limit, ...(before && { p_before_at: before.at, p_before_id: before.id }) };
          return database.call('list_account_sessions', page, AccountSessionListSchema);
        },
        ({ created_at, id }) => ({ at: created_at, id }),
      );
      return { sessions, next_cursor };
    },
  );

  app.delete(
    '/admin/users/:id/sessions/:session_id',
    {
      schema: {
        operationId: 'endUserSession',
        summary: 'End one session of an account',
        params: SessionOfAccountSchema,
        response: { 200: EndedSessionsSchema, ...errors(404) },
      },
    },
    (request) => {
      const { id: p_user_id, session_id: p_session_id } = request.params;
      const session = { p_actor: getActor(request), p_user_id, p_session_id };
      return database.call('end_account_session', session, EndedSessionsSchema);
    },
  );

  app.delete(
    '/admin/users/:id/api-keys/:key_id',
    {
      schema: {
        operationId: 'deleteUserApiKey',
        summary: 'End one API key of an account',
        params: KeyOfAccountSchema,
        response: { 200: DeletedApiKeySchema, ...errors(404) },
      },
    },
    (request) => {
      const { id: p_user_id, key_id: p_id } = request.params;
      const key = { p_actor: getActor(request), p_user_id, p_id };
      return database.call('delete_account_api_key', key, DeletedApiKeySchema);
    },
  );
};
