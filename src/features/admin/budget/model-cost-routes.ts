import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import type { Database } from '../../../platform/database/client/database.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { ModelCostListSchema, ModelCostsSchema, SetModelCostsSchema } from './model-cost-schemas.js';

/** Serves the prices of models, in device tokens per prompt; the scope it is registered in must require an admin. */
export const modelCostRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: budget'] });

  app.get(
    '/admin/model-costs',
    {
      schema: {
        operationId: 'listModelCosts',
        summary: 'List the prices per prompt',
        response: { 200: ModelCostsSchema },
      },
    },
    async (request) => {
      const actor = { p_actor: getActor(request) };
      return { model_costs: await database.call('list_model_costs', actor, ModelCostListSchema) };
    },
  );

  app.put(
    '/admin/model-costs',
    {
      schema: {
        operationId: 'setModelCosts',
        summary: 'Set prices; a null cost removes one',
        body: SetModelCostsSchema,
        response: { 200: ModelCostsSchema },
      },
    },
    async (request) => {
      const change = { p_actor: getActor(request), p_costs: request.body.model_costs };
      return { model_costs: await database.call('set_model_costs', change, ModelCostListSchema) };
    },
  );
};
