import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { getActor, requireAdmin } from '../../auth/guards/admin-guard.js';
import type { Database } from '../../platform/database/client/database.js';
import { LONG_TIMEOUT_MS } from '../../platform/database/client/database.js';
import { paginate } from '../../platform/http/pagination.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { readDashboard } from './dashboard.js';
import {
  AuditEntrySchema,
  AuditQuerySchema,
  AuditSchema,
  DashboardQuerySchema,
  DashboardSchema,
  VerifiedLedgerSchema,
} from './report-schemas.js';

const PositionSchema = Type.Integer();
const AuditEntriesSchema = Type.Array(AuditEntrySchema);

/** The dashboard, the proof of the books and the audit log. */
export const reportRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: reports'] });
  requireAdmin(app);

  app.get(
    '/admin/dashboard',
    {
      schema: {
        summary: 'Budget, devices and usage at a glance',
        querystring: DashboardQuerySchema,
        response: { 200: DashboardSchema },
      },
    },
    (request) => readDashboard(database, getActor(request), request.query),
  );

  app.get(
    '/admin/ledger/verify',
    {
      schema: {
        summary: 'Recompute every balance, hold and rollup',
        response: { 200: VerifiedLedgerSchema },
      },
    },
    async (request) =>
      database.call('verify_ledger_as', { p_actor: getActor(request) }, VerifiedLedgerSchema, {
        timeoutMs: LONG_TIMEOUT_MS,
      }),
  );

  app.get(
    '/admin/audit',
    {
      schema: {
        summary: 'Who did what, newest first',
        querystring: AuditQuerySchema,
        response: { 200: AuditSchema },
      },
    },
    async (request) => {
      const { target } = request.query;
      const { rows: entries, next_cursor } = await paginate(
        request.query,
        PositionSchema,
        (p_limit, before) => {
          const page = {
            p_actor: getActor(request),
            p_limit,
            ...(before !== undefined && { p_before: before }),
            ...(target !== undefined && { p_target: target }),
          };
          return database.call('list_audit', page, AuditEntriesSchema);
        },
        ({ id }) => id,
      );
      return { entries, next_cursor };
    },
  );
};
