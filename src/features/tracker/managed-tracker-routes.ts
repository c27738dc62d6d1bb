import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../auth/guards/admin-guard.js';
import type { Database } from '../../platform/database/client/database.js';
import { errors } from '../../platform/http/error-schema.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { ChangeTrackerSchema, TrackerSchema, UserParamsSchema } from './schemas.js';

/** Serves what an admin may do about trackers of any account; the scope must require an admin. */
export const managedTrackerRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: users'] });
  const params = UserParamsSchema;
  const response = { 200: TrackerSchema, ...errors(404) };

  app.get(
    '/admin/users/:id/tracker',
    {
      schema: { operationId: 'getUserTracker', summary: 'Read what trackers counted for an account', params, response },
    },
    async (request) => {
      const account = { p_actor: getActor(request), p_user_id: request.params.id, p_changes: {} };
      return await database.call('change_user_tracker', account, TrackerSchema);
    },
  );

  app.put(
    '/admin/users/:id/tracker',
    {
      schema: {
        operationId: 'updateUserTracker',
        summary: "Set an account's counters right, or have it take no more tracker tokens",
        params,
        body: ChangeTrackerSchema,
        response,
      },
    },
    async (request) => {
      const change = { p_actor: getActor(request), p_user_id: request.params.id, p_changes: request.body };
      return await database.call('change_user_tracker', change, TrackerSchema);
    },
  );

  app.post(
    '/admin/users/:id/tracker/revoke',
    {
      schema: { operationId: 'revokeUserTracker', summary: 'End every tracker token of an account', params, response },
    },
    async (request) => {
      const change = { p_actor: getActor(request), p_user_id: request.params.id, p_changes: { revoke: true } };
      return await database.call('change_user_tracker', change, TrackerSchema);
    },
  );
};
