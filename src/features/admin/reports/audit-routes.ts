import { type FastifyPluginAsyncTypebox, type Static, Type } from '@fastify/type-provider-typebox';
import { type Actor, getActor } from '../../../auth/guards/admin-guard.js';
import type { Database } from '../../../platform/database/client/database.js';
import { paginate } from '../../../platform/http/pagination.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { AuditEntriesSchema, type AuditQuery, AuditQuerySchema, AuditSchema } from './audit-schemas.js';

const PositionSchema = Type.Integer();

/** Reads a page of the audit log, newest first. */
async function listAudit(
  database: Database,
  actor: Actor,
  { target, actor: who, action, from, to, ...query }: AuditQuery,
): Promise<Static<typeof AuditSchema>> {
  const filter = {
    p_actor: actor,
    ...(target !== undefined && { p_target: target }),
    ...(who !== undefined && { p_who: who }),
    ...(action !== undefined && { p_action: action }),
    ...(from !== undefined && { p_from: from }),
    ...(to !== undefined && { p_to: to }),
  };
  const { rows: entries, next_cursor } = await paginate(
    query,
    PositionSchema,
    (p_limit, before) => {
      const page = { ...filter, p_limit, ...(before !== undefined && { p_before: before }) };
      return database.call('list_audit', page, AuditEntriesSchema);
    },
    ({ id }) => id,
  );
  return { entries, next_cursor };
}

/** Serves the audit log; the scope it is registered in must require an admin. */
export const auditRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: reports'] });

  app.get(
    '/admin/audit',
    {
      schema: {
        operationId: 'listAuditEntries',
        summary: 'List who did what, newest first',
        querystring: AuditQuerySchema,
        response: { 200: AuditSchema },
      },
    },
    (request) => listAudit(database, getActor(request), request.query),
  );
};
