import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { requireUser } from '../../../../auth/guards/user-guard.js';
import { createNoRouteError } from '../../../../platform/http/allowed-methods.js';
import { describeRoutes } from '../../../../platform/http/route-defaults.js';
import { type ChatServices, requireChat, serveCompletion } from '../../completion.js';
import { acceptUpstreamJson } from '../../request/body-limits.js';
import type { CompletionJob } from '../../request/completion-job.js';
import { answerClientError } from '../client-errors.js';
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
  openAiErrors,
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
  readonly chat: ChatServices | undefined;
  /** Largest request, in bytes. */
  readonly bodyLimitBytes: number;
}

/** Serves what an API key or a session opens. */
const guardedRoutes: FastifyPluginAsyncTypebox<OpenAiRoutesOptions> = async (app, services) => {
  app.setErrorHandler(answerOpenAiError);
  requireUser(app, 'chat');
  acceptUpstreamJson(app);
  await app.register(embeddingsRoutes, services);
  await app.register(responsesRoutes, services);

  app.post(
    '/chat/completions',
    {
      config: { spendsTokens: true },
      bodyLimit: services.bodyLimitBytes,
      schema: {
        operationId: 'createChatCompletion',
        takesIdempotencyKey: true,
        responseHeaders: ['x-tokens-remaining', 'x-tokens-used'],
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
          ...openAiErrors(400, 401, 403, 409, 413, 415, 422, 502, 504),
        },
      },
    },
    async (request, reply) => {
      const chat = requireChat(services.chat);
      return serveCompletion(chat, createJob(chat, request, request.body), request, reply);
    },
  );
};

/** Serves the OpenAI format: any client of it that can be told a base URL and a key becomes a metered one. */
export const openAiRoutes: FastifyPluginAsyncTypebox<OpenAiRoutesOptions> = async (app, { chat, bodyLimitBytes }) => {
  describeRoutes(app, { tags: ['Chat'] });
  app.setErrorHandler(answerClientError);
  app.setNotFoundHandler((request, reply) =>
    answerClientError(createNoRouteError(app, request, reply), request, reply),
  );
  await app.register(guardedRoutes, { chat, bodyLimitBytes });
};
