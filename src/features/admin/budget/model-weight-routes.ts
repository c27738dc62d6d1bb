import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getActor } from '../../../auth/guards/admin-guard.js';
import type { Database } from '../../../platform/database/client/database.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { ModelWeightListSchema, ModelWeightsSchema, SetModelWeightsSchema } from './model-weight-schemas.js';

/** Serves what a token of each model debits in chat; the scope it is registered in must require an admin. */
export const modelWeightRoutes: FastifyPluginAsyncTypebox<{ database: Database }> = async (app, { database }) => {
  describeRoutes(app, { tags: ['Admin: budget'] });

  app.get(
    '/admin/model-weights',
    {
      schema: {
        operationId: 'listModelWeights',
        summary: 'List what a token of each model debits in chat',
        response: { 200: ModelWeightsSchema },
      },
    },
    async (request) => {
      const actor = { p_actor: getActor(request) };
      return { model_weights: await database.call('list_model_weights', actor, ModelWeightListSchema) };
    },
  );

  app.put(
    '/admin/model-weights',
    {
      schema: {
        operationId: 'setModelWeights',
        summary: 'Set weights of models; a null input_weight removes one',
        body: SetModelWeightsSchema,
        response: { 200: ModelWeightsSchema },
      },
    },
    async (request) => {
      const change = { p_actor: getActor(request), p_weights: request.body.model_weights };
      return { model_weights: await database.call('set_model_weights', change, ModelWeightListSchema) };
    },
  );
};
