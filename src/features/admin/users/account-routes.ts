import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import { type Database, LONG_TIMEOUT_MS } from '../../../platform/database/client/database.js';
import { errors } from '../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import {
  AccountParamsSchema,
  AccountSchema,
  DeletedAccountSchema,
  EndAccountSessionsSchema,
  EndedAccountSessionsSchema,
  SetPlanSchema,
  SuspendAccountSchema,
} from './account-schemas.js';

/**
 * Serves changes to one account, each of which takes effect on its very next request; the scope it is registered in must
 * require an admin.
 */
export const accountRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: users'] });
  const params = AccountParamsSchema;

  app.patch(
    '/admin/users/:id',
    {
      schema: {
        operationId: 'updateUser',
        summary: 'Suspend an account with its keys and devices, or let it go on',
        params,
        body: SuspendAccountSchema,
        response: { 200: AccountSchema, ...errors(404) },
      },
    },
    async (request) => {
      const { suspended: p_suspended } = request.body;
      const change = { p_actor: getActor(request), p_user_id: request.params.id, p_suspended };
      return await database.call('suspend_account', change, AccountSchema);
    },
  );

  app.post(
    '/admin/users/:id/end-sessions',
    {
      schema: {
        operationId: 'endUserSessions',
        summary: 'End every session of an account, and its API keys where wished',
        params,
        body: EndAccountSessionsSchema,
        response: { 200: EndedAccountSessionsSchema, ...errors(404) },
      },
    },
    async (request) => {
      const { api_keys: p_api_keys } = request.body;
      const sessions = { p_actor: getActor(request), p_user_id: request.params.id, p_api_keys };
      return await database.call('end_account_sessions', sessions, EndedAccountSessionsSchema);
    },
  );

  app.put(
    '/admin/users/:id/plan',
    {
      schema: {
        operationId: 'setUserPlan',
        summary: 'Give an account a tier without payment, or take it back with free',
        params,
        body: SetPlanSchema,
        response: { 200: AccountSchema, ...errors(404, 409) },
      },
    },
    async (request) => {
      const plan = { p_actor: getActor(request), p_user_id: request.params.id, p_tier: request.body.tier };
      return await database.call('set_account_plan', plan, AccountSchema);
    },
  );

  app.delete(
    '/admin/users/:id',
    {
      schema: {
        operationId: 'deleteUser',
        summary: 'Delete an account and everything personal; this cannot be undone',
        params,
        response: { 200: DeletedAccountSchema, ...errors(404, 409) },
      },
    },
    async (request) => {
      const account = { p_actor: getActor(request), p_user_id: request.params.id };
      return await database.call('delete_account_as', account, DeletedAccountSchema, { timeoutMs: LONG_TIMEOUT_MS });
    },
  );
};
