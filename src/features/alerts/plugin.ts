import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { normalizeEmail } from '../../auth/email.js';
import { getActor, requireAdmin } from '../../auth/guards/admin-guard.js';
import type { Database } from '../../platform/database/client/database.js';
import { PageQuerySchema, paginate } from '../../platform/http/pagination.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { AlertsSchema, ChangeAlertsSchema, RecentAlertListSchema, RecentAlertsSchema } from './schemas.js';

const PositionSchema = Type.Integer();

/** Serves what was warned of, at which thresholds somebody is warned, and who gets mail, to admins. */
export const alerts: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  requireAdmin(app);
  describeRoutes(app, { tags: ['Admin: alerts'] });

  app.get(
    '/admin/alerts',
    {
      schema: {
        operationId: 'getAlerts',
        summary: 'Read who is warned before tokens run out',
        response: { 200: AlertsSchema },
      },
    },
    (request) => database.call('get_alert_settings', { p_actor: getActor(request) }, AlertsSchema),
  );

  app.put(
    '/admin/alerts',
    {
      schema: {
        operationId: 'changeAlerts',
        summary: 'Change who is warned before tokens run out; what is left out stays',
        body: ChangeAlertsSchema,
        response: { 200: AlertsSchema },
      },
    },
    (request) => {
      const { mail_to, ...others } = request.body;
      const p_settings = { ...others, ...(mail_to !== undefined && { mail_to: mail_to.map(normalizeEmail) }) };
      return database.call('set_alert_settings', { p_actor: getActor(request), p_settings }, AlertsSchema);
    },
  );

  app.get(
    '/admin/alerts/recent',
    {
      schema: {
        operationId: 'listAlerts',
        summary: 'List what was warned of in the last 90 days, newest first',
        querystring: PageQuerySchema,
        response: { 200: RecentAlertsSchema },
      },
    },
    async (request) => {
      const p_actor = getActor(request);
      const { rows, next_cursor } = await paginate(
        request.query,
        PositionSchema,
        (p_limit, before) => {
          const page = { p_actor, p_limit, ...(before !== undefined && { p_before: before }) };
          return database.call('list_alerts', page, RecentAlertListSchema);
        },
        ({ id }) => id,
      );
      return { alerts: rows, next_cursor };
    },
  );
};
