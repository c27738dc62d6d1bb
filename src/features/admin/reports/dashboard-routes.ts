import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Reads } from '../../../platform/database/replica/read-database.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { readDashboard } from './dashboard.js';
import { DashboardQuerySchema, DashboardSchema } from './dashboard-schemas.js';

/** Serves `GET /admin/dashboard`; the scope it is registered in must require an admin. */
export const dashboardRoutes: FastifyPluginAsyncTypebox<{ reads: Reads }> = async (app, { reads }) => {
  describeRoutes(app, { tags: ['Admin: reports'] });

  app.get(
    '/admin/dashboard',
    {
      schema: {
        operationId: 'getAdminDashboard',
        responseHeaders: ['x-read-lag-ms'],
        summary: 'Read budget, devices and usage at a glance',
        querystring: DashboardQuerySchema,
        response: { 200: DashboardSchema },
      },
    },
    (request) => readDashboard(reads, request, request.query),
  );
};
