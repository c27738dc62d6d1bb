import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { getUser, requireUser } from '../../../../auth/guards/user-guard.js';
import { parseIdempotencyKey } from '../../../../metering/idempotency-key.js';
import { AnyResult, type Database } from '../../../../platform/database/client/database.js';
import { createNoRouteError } from '../../../../platform/http/allowed-methods.js';
import { describeRoutes } from '../../../../platform/http/route-defaults.js';
import { type ChatServices, type CompletionJob, requireChat, serveCompletion } from '../../completion.js';
import { acceptUpstreamJson } from '../../request/body-limits.js';
import { requireTokensOnly } from '../../request/extras.js';
import { answerOpenAiError } from './errors.js';
import { createOpenAiFormat } from './format.js';
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

/** Drops the members that are null: they are as good as absent, and leave the choice to upstream. */
function withoutNulls(body: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
}

/** Returns the fields of a request that go upstream. */
function toUpstreamFields(completion: CompletionRequest): Record<string, unknown> {
  const { model: _model, stream: _stream, ...body } = completion;
  const dropped: readonly string[] = DROPPED_FIELDS;
  return Object.fromEntries(Object.entries(withoutNulls(body)).filter(([name]) => !dropped.includes(name)));
}

/** Returns whether a client wants a chunk about usage: in OpenAI's words, or in OpenRouter's. */
function wantsUsage({ stream_options: options, usage }: CompletionRequest): boolean {
  return options?.include_usage === true || usage?.include === true;
}

/**
 * Returns what is to be done for a request.
 * @throws {ApiError} MODEL_NOT_ALLOWED, VALIDATION_FAILED
 */
function createJob(chat: ChatServices, request: FastifyRequest, received: CompletionRequest): CompletionJob {
  if (!chat.settings.hasExtras) requireTokensOnly(received);
  const model = chat.models.choose(received.model);
  for (const fallback of received.models ?? []) chat.models.choose(fallback);
  return {
    source: 'api',
    model,
    received,
    body: toUpstreamFields(received),
    isStreaming: received.stream === true,
    idempotencyKey: parseIdempotencyKey(request, undefined),
    reserve: (reservation) => chat.meter.reserve(getUser(request), reservation),
    format: createOpenAiFormat({ model, includeUsage: wantsUsage(received), choiceCount: received.n ?? 1 }),
  };
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
  const confirmUser = (request: FastifyRequest) =>
    services.database.call('confirm_user', { p_caller: getUser(request) }, AnyResult);

  app.post(
    '/chat/completions',
    {
      config: { spendsTokens: true },
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
  app.setNotFoundHandler((request, reply) =>
    answerOpenAiError(createNoRouteError(app, request, reply), request, reply),
  );
  await app.register(guardedRoutes, { database, chat, bodyLimitBytes });
};
