import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import type { Database } from '../../../platform/database/client/database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { toTokenAnswer } from './answer.js';
import { changePassword } from './own-account.js';
import {
  AdminTokenSchema,
  ChangePasswordSchema,
  EndedSessionsSchema,
  LogoutSchema,
  OwnAdminSchema,
  OwnSessionsSchema,
  SessionParamsSchema,
} from './session-schemas.js';

/** Dependencies of what is about an admin's own access. */
export interface SessionOptions {
  readonly database: Database;
  /** Whether an admin without a second factor can do nothing but set one up. */
  readonly isSecondFactorRequired: boolean;
}

/** Open to every admin, whatever the role, also to one who has yet to set up a second factor. */
const config = { adminRole: 'any' } as const;

/** Serves an admin's own sessions and password; the scope it is registered in must require an admin. */
export const ownAccountRoutes: FastifyPluginAsyncTypebox<SessionOptions> = async (
  app,
  { database, isSecondFactorRequired },
) => {
  describeRoutes(app, { tags: ['Admin: session'] });

  app.post(
    '/admin/logout',
    {
      config,
      schema: {
        operationId: 'logOutAdmin',
        summary: 'End this session, or every one of yours with "all"; their tokens stop working at once',
        body: LogoutSchema,
        response: { 200: EndedSessionsSchema },
      },
    },
    async (request) => {
      const p_actor = getActor(request);
      const one = request.body?.all === true ? {} : { p_session_id: p_actor.session_id };
      return await database.call('end_admin_sessions', { p_actor, ...one }, EndedSessionsSchema);
    },
  );

  app.get(
    '/admin/me',
    {
      config,
      schema: { operationId: 'getOwnAdmin', summary: 'Read who you are', response: { 200: OwnAdminSchema } },
    },
    async (request) => database.call('get_own_admin', { p_actor: getActor(request) }, OwnAdminSchema),
  );

  app.get(
    '/admin/sessions',
    {
      config,
      schema: {
        operationId: 'listAdminSessions',
        summary: 'List your sessions, newest first',
        response: { 200: OwnSessionsSchema },
      },
    },
    async (request) => database.call('list_admin_sessions', { p_actor: getActor(request) }, OwnSessionsSchema),
  );

  app.delete(
    '/admin/sessions/:id',
    {
      config,
      schema: {
        operationId: 'endAdminSession',
        summary: 'End one of your sessions',
        params: SessionParamsSchema,
        response: { 200: EndedSessionsSchema, ...errors(404) },
      },
    },
    async (request) => {
      const session = { p_actor: getActor(request), p_session_id: request.params.id };
      return await database.call('end_admin_sessions', session, EndedSessionsSchema);
    },
  );

  app.post(
    '/admin/password',
    {
      config,
      schema: {
        operationId: 'changeAdminPassword',
        summary: 'Change your password; ends every earlier token and returns a new one',
        body: ChangePasswordSchema,
        response: { 200: AdminTokenSchema },
      },
    },
    async (request) =>
      toTokenAnswer(app, await changePassword(database, request, request.body), isSecondFactorRequired),
  );
};
