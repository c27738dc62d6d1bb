import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getUser } from '../../auth/guards/user-guard.js';
import type { Database } from '../../platform/database/client/database.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { ChangeTrackerSchema, TrackerSchema } from './schemas.js';

/** Serves what a person may do about trackers of their account; the scope must require a user. */
export const ownTrackerRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Tracker'] });
  const response = { 200: TrackerSchema };

  app.get(
    '/users/me/tracker',
    { schema: { operationId: 'getMyTracker', summary: 'Read what trackers counted for your account', response } },
    async (request) => database.call('change_tracker', { p_caller: getUser(request), p_changes: {} }, TrackerSchema),
  );

  app.put(
    '/users/me/tracker',
    {
      schema: {
        operationId: 'updateMyTracker',
        summary: 'Set your counters right, or take no more tracker tokens',
        body: ChangeTrackerSchema,
        response,
      },
    },
    async (request) => {
      const change = { p_caller: getUser(request), p_changes: request.body };
      return await database.call('change_tracker', change, TrackerSchema);
    },
  );

  app.post(
    '/users/me/tracker/revoke',
    { schema: { operationId: 'revokeMyTracker', summary: 'End every tracker token of your account', response } },
    async (request) => {
      const change = { p_caller: getUser(request), p_changes: { revoke: true } };
      return await database.call('change_tracker', change, TrackerSchema);
    },
  );
};
