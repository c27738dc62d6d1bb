import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import type { Database } from '../../../platform/database/client/database.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import {
  BudgetPreviewQuerySchema,
  BudgetPreviewSchema,
  BudgetQuerySchema,
  BudgetSchema,
  SetBudgetSchema,
} from './budget-schemas.js';

/** Serves the central pools of tokens; the scope it is registered in must require an admin. */
export const budgetRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: budget'] });

  app.get(
    '/admin/budget',
    {
      schema: {
        operationId: 'getBudget',
        summary: 'Read a pool and what is left of it',
        querystring: BudgetQuerySchema,
        response: { 200: BudgetSchema },
      },
    },
    (request) => {
      const { subject_kind } = request.query;
      return database.call('get_budget', { p_actor: getActor(request), p_kind: subject_kind }, BudgetSchema);
    },
  );

  app.get(
    '/admin/budget/preview',
    {
      schema: {
        operationId: 'previewBudget',
        summary: 'Tell what another size of a pool would change, without changing it',
        querystring: BudgetPreviewQuerySchema,
        response: { 200: BudgetPreviewSchema },
      },
    },
    (request) => {
      const { total, subject_kind } = request.query;
      const change = {
        p_actor: getActor(request),
        p_kind: subject_kind,
        ...(total !== undefined && { p_total: total }),
      };
      return database.call('preview_budget', change, BudgetPreviewSchema);
    },
  );

  app.put(
    '/admin/budget',
    {
      schema: {
        operationId: 'setBudget',
        summary: 'Set the size of a pool',
        body: SetBudgetSchema,
        response: { 200: BudgetSchema },
      },
    },
    (request) => {
      const { total, subject_kind } = request.body;
      const change = { p_actor: getActor(request), p_kind: subject_kind, ...(total !== null && { p_total: total }) };
      return database.call('set_budget', change, BudgetSchema);
    },
  );
};
