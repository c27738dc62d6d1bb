import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import type { Database } from '../../../platform/database/client/database.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { readDashboard } from './dashboard.js';
import { DashboardQuerySchema, DashboardSchema } from './dashboard-schemas.js';

/** Serves `GET /admin/dashboard`; the scope it is registered in must require an admin. */
export const dashboardRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: reports'] });

  app.get(
    '/admin/dashboard',
    {
      schema: {
        operationId: 'getAdminDashboard',
        summary: 'Read budget, devices and usage at a glance',
        querystring: DashboardQuerySchema,
        response: { 200: DashboardSchema },
      },
    },
    (request) => readDashboard(database, getActor(request), request.query),
  );
};
