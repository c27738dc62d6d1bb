import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { actorOf, requireAdmin } from '../../auth/guards/admin-guard.js';
import { callDatabase, longCall } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { errors } from '../../platform/http/error-schema.js';
import { decodeCursor, nextCursor } from '../../platform/http/pagination.js';
import type { Services } from '../../services.js';
import { readDashboard } from './dashboard.js';
import {
  AuditEntrySchema,
  AuditQuerySchema,
  AuditSchema,
  DashboardQuerySchema,
  DashboardSchema,
  VerifiedLedgerSchema,
} from './report-schemas.js';

const tags = ['Admin: reports'];
const security = [{ adminToken: [] }];
const verifiedOf = shapeOf(VerifiedLedgerSchema);
const entriesOf = shapeOf(Type.Array(AuditEntrySchema));

/** The dashboard, the proof of the books and the audit log. */
export const reportRoutes: FastifyPluginAsyncTypebox<Services> = async (app, { database }) => {
  requireAdmin(app);

  app.get(
    '/admin/dashboard',
    {
      schema: {
        tags,
        security,
        summary: 'Budget, devices and usage at a glance',
        querystring: DashboardQuerySchema,
        response: { 200: DashboardSchema, ...errors(400, 401) },
      },
    },
    (request) => readDashboard(database, actorOf(request), request.query),
  );

  app.get(
    '/admin/ledger/verify',
    {
      schema: {
        tags,
        security,
        summary: 'Recompute every balance, hold and rollup',
        response: { 200: VerifiedLedgerSchema, ...errors(401) },
      },
    },
    async (request) =>
      verifiedOf(
        await callDatabase(() =>
          database.rpc('verify_ledger_as', { p_actor: actorOf(request) }).abortSignal(longCall()),
        ),
      ),
  );

  app.get(
    '/admin/audit',
    {
      schema: {
        tags,
        security,
        summary: 'Who did what, newest first',
        querystring: AuditQuerySchema,
        response: { 200: AuditSchema, ...errors(400, 401) },
      },
    },
    async (request) => {
      const { limit, cursor, target } = request.query;
      const before = decodeCursor(Type.Integer(), cursor);
      const page = {
        p_actor: actorOf(request),
        p_limit: limit,
        ...(before !== undefined && { p_before: before }),
        ...(target !== undefined && { p_target: target }),
      };
      const entries = entriesOf(await callDatabase(() => database.rpc('list_audit', page)));
      return { entries, next_cursor: nextCursor(entries, limit, ({ id }) => id) };
    },
  );
};
