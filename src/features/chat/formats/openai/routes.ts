import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { getUser, requireUser } from '../../../../auth/guards/user-guard.js';
import { parseIdempotencyKey } from '../../../../metering/idempotency-key.js';
import { AnyResult, type Database } from '../../../../platform/database/client/database.js';
import { describeRoutes } from '../../../../platform/http/route-defaults.js';
import {
  CHAT_BODY_LIMIT_BYTES,
  type ChatServices,
  type CompletionJob,
  requireChat,
  serveCompletion,
} from '../../completion.js';
import { answerOpenAiError } from './errors.js';
import { createOpenAiFormat } from './format.js';
import {
  type CompletionRequest,
  CompletionRequestSchema,
  CompletionSchema,
  CompletionStreamSchema,
  ModelsSchema,
  openAiErrors,
} from './schemas.js';

/** Drops the members that are null: they are as good as absent, and leave the choice to upstream. */
function withoutNulls(body: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
}

/**
 * Returns what is to be done for a request.
 * @throws {ApiError} MODEL_NOT_ALLOWED, VALIDATION_FAILED
 */
function createJob(chat: ChatServices, request: FastifyRequest, completion: CompletionRequest): CompletionJob {
  const { model: requestedModel, stream, ...body } = completion;
  const model = chat.models.choose(requestedModel);
  const includeUsage = body.stream_options?.include_usage === true;
  return {
    source: 'api',
    model,
    body: withoutNulls(body),
    isStreaming: stream === true,
    idempotencyKey: parseIdempotencyKey(request, undefined),
    reserve: (reservation) => chat.meter.reserve(getUser(request), reservation),
    format: createOpenAiFormat({ model, includeUsage, choiceCount: body.n ?? 1 }),
  };
}

/** Serves the OpenAI format: any client of it that can be told a base URL and a key becomes a metered one. */
export const openAiRoutes: FastifyPluginAsyncTypebox<{ database: Database; chat: ChatServices | undefined }> = async (
  app,
  services,
) => {
  describeRoutes(app, { tags: ['Chat'] });
  app.setErrorHandler(answerOpenAiError);
  requireUser(app);

  app.post(
    '/v1/chat/completions',
    {
      bodyLimit: CHAT_BODY_LIMIT_BYTES,
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
    '/v1/models',
    {
      schema: {
        summary: 'List the models on offer, in the OpenAI format',
        response: { 200: ModelsSchema, ...openAiErrors(401, 502) },
      },
    },
    async (request) => {
      await services.database.call('confirm_user', { p_caller: getUser(request) }, AnyResult);
      return { object: 'list' as const, data: [...(await requireChat(services.chat).models.list())] };
    },
  );
};
