import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import type { Database } from '../../../platform/database/client/database.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { PlanListSchema, PlanParamsSchema, PlansSchema, SetPlanWorthSchema } from './plan-schemas.js';

/** Serves what each tier is worth; the scope it is registered in must require an admin. */
export const planRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: budget'] });

  app.get(
    '/admin/plans',
    {
      schema: {
        operationId: 'listPlanWorth',
        summary: 'List what each tier is worth, and how many accounts have it',
        response: { 200: PlansSchema },
      },
    },
    async (request) => ({
      plans: await database.call('list_plans', { p_actor: getActor(request) }, PlanListSchema),
    }),
  );

  app.put(
    '/admin/plans/:tier',
    {
      schema: {
        operationId: 'setPlanWorth',
        summary: 'Set the tokens a paid month of a tier adds from now on, and how many devices it may link',
        params: PlanParamsSchema,
        body: SetPlanWorthSchema,
        response: { 200: PlansSchema },
      },
    },
    async (request) => {
      const { monthly_tokens: p_monthly_tokens, device_limit } = request.body;
      const limit = device_limit !== null && { p_device_limit: device_limit };
      const plan = { p_actor: getActor(request), p_tier: request.params.tier, p_monthly_tokens, ...limit };
      return { plans: await database.call('set_plan', plan, PlanListSchema) };
    },
  );
};
