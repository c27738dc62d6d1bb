import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { getUser, requireUser } from '../../../auth/guards/user-guard.js';
import { AnyResult, type Database } from '../../../platform/database/client/database.js';
import { describeRoutes } from '../../../platform/http/route-defaults.js';
import { type ChatServices, requireChat } from '../completion.js';
import { isForAnthropicClient } from './anthropic/errors.js';
import {
  AnthropicModelSchema,
  AnthropicModelsSchema,
  toAnthropicModel,
  toAnthropicModels,
} from './anthropic/models.js';
import { AnthropicErrorSchema } from './anthropic/schemas.js';
import { answerClientError } from './client-errors.js';
import {
  ListedModelSchema,
  ModelParamsSchema,
  ModelsSchema,
  openAiErrors,
  RestParamsSchema,
} from './openai/schemas.js';

/** Declares the error answers of a route that speaks either format. */
const clientErrors = (...statuses: readonly number[]) =>
  Object.fromEntries(
    Object.entries(openAiErrors(...statuses)).map(([status, schema]) => [
      status,
      Type.Union([schema, AnthropicErrorSchema]),
    ]),
  );
const AnyModelsSchema = Type.Union([ModelsSchema, AnthropicModelsSchema]);
const AnyModelSchema = Type.Union([ListedModelSchema, AnthropicModelSchema]);

interface ModelRoutesOptions {
  readonly database: Database;
  readonly chat: ChatServices | undefined;
}

/** Lists the models on offer, to clients of Anthropic's API in its format, to all others in OpenAI's. */
export const modelRoutes: FastifyPluginAsyncTypebox<ModelRoutesOptions> = async (app, { database, chat }) => {
  describeRoutes(app, { tags: ['Chat'] });
  app.setErrorHandler(answerClientError);
  requireUser(app, 'chat', { acceptsKeyHeader: true });
  const confirmUser = (request: FastifyRequest) =>
    database.call('confirm_user', { p_caller: getUser(request), p_scope: 'chat' }, AnyResult);

  app.get(
    '/models',
    {
      schema: {
        operationId: 'listModels',
        summary: "List the models on offer, in the OpenAI format; with anthropic-version in Anthropic's",
        response: { 200: AnyModelsSchema, ...clientErrors(401, 403, 502) },
      },
    },
    async (request) => {
      await confirmUser(request);
      const models = await requireChat(chat).models.list();
      return isForAnthropicClient(request) ? toAnthropicModels(models) : { object: 'list' as const, data: [...models] };
    },
  );

  const getModel = async (request: FastifyRequest, id: string) => {
    await confirmUser(request);
    const model = await requireChat(chat).models.get(id);
    return isForAnthropicClient(request) ? toAnthropicModel(model) : model;
  };
  app.get(
    '/models/:id',
    {
      schema: {
        operationId: 'getModel',
        summary: "Read a model, in the OpenAI format; with anthropic-version in Anthropic's",
        params: ModelParamsSchema,
        response: { 200: AnyModelSchema, ...clientErrors(400, 401, 403, 404, 502) },
      },
    },
    (request) => getModel(request, request.params.id),
  );
  // The same for clients that do not escape the slash in a model's name.
  app.get(
    '/models/*',
    { schema: { hide: true, params: RestParamsSchema, response: { 200: AnyModelSchema } } },
    (request) => getModel(request, request.params['*']),
  );
};
