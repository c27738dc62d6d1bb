import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { getUser, requireUser } from '../../../../auth/guards/user-guard.js';
import { AnyResult, type Database } from '../../../../platform/database/client/database.js';
import { ApiError } from '../../../../platform/errors.js';
import { describeRoutes } from '../../../../platform/http/route-defaults.js';
import { type ChatServices, type CompletionJob, requireChat, serveCompletion } from '../../completion.js';
import { acceptUpstreamJson } from '../../request/body-limits.js';
import { embeddingsRoutes } from '../embeddings/routes.js';
import { responsesRoutes } from '../responses/routes.js';
import { createOpenAiCodec } from './codec.js';
import { answerOpenAiError } from './errors.js';
import { createApiJob } from './job.js';
import {
  type CompletionRequest,
  CompletionRequestSchema,
  CompletionSchema,
  CompletionStreamSchema,
  DROPPED_FIELDS,
  ListedModelSchema,
  ModelParamsSchema,
  ModelsSchema,
  openAiErrors,
  RestParamsSchema,
} from './schemas.js';

/** Returns whether a client wants a chunk about usage: in OpenAI's words, or in OpenRouter's. */
function wantsUsage({ stream_options: options, usage }: CompletionRequest): boolean {
  return options?.include_usage === true || usage?.include === true;
}

/**
 * Returns what is to be done for a request.
 * @throws {ApiError} MODEL_NOT_ALLOWED, VALIDATION_FAILED
 */
function createJob(chat: ChatServices, request: FastifyRequest, received: CompletionRequest): CompletionJob {
  const answers = { includeUsage: wantsUsage(received), choiceCount: received.n ?? 1 };
  return createApiJob(chat, request, received, {
    dropped: DROPPED_FIELDS,
    createCodec: (model) => createOpenAiCodec({ model, ...answers }),
  });
}

interface OpenAiRoutesOptions {
  readonly database: Database;
  readonly chat: ChatServices | undefined;
  /** Largest request, in bytes. */
  readonly bodyLimitBytes: number;
}

/** Serves what an API key or a session opens. */
const guardedRoutes: FastifyPluginAsyncTypebox<OpenAiRoutesOptions> = async (app, services) => {
  requireUser(app);
  acceptUpstreamJson(app);
  await app.register(embeddingsRoutes, services);
  await app.register(responsesRoutes, services);
  const confirmUser = (request: FastifyRequest) =>
    services.database.call('confirm_user', { p_caller: getUser(request) }, AnyResult);

  app.post(
    '/chat/completions',
    {
      bodyLimit: services.bodyLimitBytes,
      schema: {
        summary: 'Create a chat completion, in the OpenAI format',
        body: CompletionRequestSchema,
        response: {
          200: {
            description: 'The answer.',
            content: {
              'text/event-stream': { schema: CompletionStreamSchema },
              'application/json': { schema: CompletionSchema },
            },
          },
          ...openAiErrors(400, 401, 409, 413, 415, 422, 502, 504),
        },
      },
    },
    async (request, reply) => {
      const chat = requireChat(services.chat);
      return serveCompletion(chat, createJob(chat, request, request.body), request, reply);
    },
  );

  app.get(
    '/models',
    {
      schema: {
        summary: 'List the models on offer, in the OpenAI format',
        response: { 200: ModelsSchema, ...openAiErrors(401, 502) },
      },
    },
    async (request) => {
      await confirmUser(request);
      return { object: 'list' as const, data: [...(await requireChat(services.chat).models.list())] };
    },
  );

  const getModel = async (request: FastifyRequest, id: string) => {
    await confirmUser(request);
    return requireChat(services.chat).models.get(id);
  };
  app.get(
    '/models/:id',
    {
      schema: {
        summary: 'Read a model, in the OpenAI format',
        params: ModelParamsSchema,
        response: { 200: ListedModelSchema, ...openAiErrors(400, 401, 404, 502) },
      },
    },
    (request) => getModel(request, request.params.id),
  );
  // The same for clients that do not escape the slash in a model's name.
  app.get(
    '/models/*',
    { schema: { hide: true, params: RestParamsSchema, response: { 200: ListedModelSchema } } },
    (request) => getModel(request, request.params['*']),
  );
};

/** Serves the OpenAI format: any client of it that can be told a base URL and a key becomes a metered one. */
export const openAiRoutes: FastifyPluginAsyncTypebox<OpenAiRoutesOptions> = async (
  app,
  { database, chat, bodyLimitBytes },
) => {
  describeRoutes(app, { tags: ['Chat'] });
  app.setErrorHandler(answerOpenAiError);
  app.setNotFoundHandler((request, reply) => answerOpenAiError(new ApiError('NOT_FOUND'), request, reply));
  await app.register(guardedRoutes, { database, chat, bodyLimitBytes });
};
