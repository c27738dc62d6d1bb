import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import type { Reads } from '../../../platform/database/replica/read-database.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { toUsage } from './dashboard.js';
import { OverviewRowsSchema, OverviewSchema } from './overview-schemas.js';

/** Serves `GET /admin/overview`; the scope it is registered in must require an admin. */
export const overviewRoutes: FastifyPluginAsyncTypebox<{ reads: Reads }> = async (app, { reads }) => {
  describeRoutes(app, { tags: ['Admin: reports'] });

  app.get(
    '/admin/overview',
    {
      schema: {
        operationId: 'getOverview',
        responseHeaders: ['x-read-lag-ms'],
        summary: 'Read the pools, who and what uses most, and 30 days of usage',
        response: { 200: OverviewSchema },
      },
    },
    async (request) => {
      const { usage, ...read } = await reads.forAdmin(
        request,
        'get_overview',
        { p_actor: getActor(request) },
        OverviewRowsSchema,
      );
      return { ...read, usage: toUsage(usage) };
    },
  );
};
