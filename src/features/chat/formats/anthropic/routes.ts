import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { getUser, requireUser } from '../../../../auth/guards/user-guard.js';
import { parseIdempotencyKey } from '../../../../metering/idempotency-key.js';
import { AnyResult, type Database } from '../../../../platform/database/client/database.js';
import { ApiError } from '../../../../platform/errors.js';
import { describeRoutes } from '../../../../platform/http/route-defaults.js';
import { type ChatServices, requireChat, serveCompletion } from '../../completion.js';
import { acceptUpstreamJson } from '../../request/body-limits.js';
import type { CompletionJob } from '../../request/completion-job.js';
import { requireTokensOnly } from '../../request/extras.js';
import { parseBetas, toUpstreamHeaders } from './betas.js';
import { createAnthropicCodec } from './codec.js';
import { countTokens } from './count-tokens.js';
import { answerAnthropicError } from './errors.js';
import { findFallbacks, MESSAGES_EXTRAS } from './extras.js';
import {
  anthropicErrors,
  CountRequestSchema,
  CountSchema,
  findUnknown,
  isPassedOn,
  MessageAnswerSchema,
  MessageStreamSchema,
  type MessagesRequest,
  MessagesRequestSchema,
} from './schemas.js';

/**
 * Refuses members that are not known here, as Anthropic does. Those that come with beta features are left out instead:
 * clients send them to every server, and new ones with each of their versions.
 * @throws {ApiError} VALIDATION_FAILED, naming the first
 */
function requireKnown({ headers }: FastifyRequest, body: object): void {
  const [param] = findUnknown(body);
  if (param === undefined || parseBetas(headers['anthropic-beta']).length > 0) return;
  const sentence = `${param} is not a field that is known here`;
  throw new ApiError('VALIDATION_FAILED', { sentence, extras: { param } });
}

/** Returns the fields of a request that go upstream. */
function toUpstreamFields(received: MessagesRequest, hasExtras: boolean): Record<string, unknown> {
  const isSent = (name: string) => name !== 'model' && (isPassedOn(name) || (hasExtras && name === 'fallbacks'));
  return Object.fromEntries(Object.entries(received).filter(([name, value]) => isSent(name) && value !== null));
}

/**
 * Returns what is to be done for a request.
 * @throws {ApiError} MODEL_NOT_ALLOWED, VALIDATION_FAILED
 */
function createJob(chat: ChatServices, request: FastifyRequest, received: MessagesRequest): CompletionJob {
  const { hasExtras } = chat.settings;
  requireKnown(request, received);
  if (!hasExtras) requireTokensOnly(received, MESSAGES_EXTRAS);
  const model = chat.models.choose(received.model);
  if (hasExtras)
    for (const other of [...(received.models ?? []), ...findFallbacks(received)]) chat.models.choose(other);
  return {
    source: 'api',
    model,
    received,
    body: toUpstreamFields(received, hasExtras),
    isStreaming: received.stream === true,
    idempotencyKey: parseIdempotencyKey(request, undefined),
    reserve: (reservation) => chat.meter.reserve(getUser(request), reservation),
    codec: createAnthropicCodec({ headers: toUpstreamHeaders(request.headers, hasExtras), requestId: request.id }),
  };
}

interface AnthropicRoutesOptions {
  readonly database: Database;
  readonly chat: ChatServices | undefined;
  /** Largest request, in bytes. */
  readonly bodyLimitBytes: number;
}

/** Serves Anthropic's format: any client of it that can be told a base URL and a key becomes a metered one. */
export const anthropicRoutes: FastifyPluginAsyncTypebox<AnthropicRoutesOptions> = async (app, services) => {
  const { bodyLimitBytes: bodyLimit } = services;
  describeRoutes(app, { tags: ['Chat'] });
  app.setErrorHandler(answerAnthropicError);
  app.addHook('onRequest', async (request, reply) => {
    reply.header('request-id', request.id);
  });
  requireUser(app, 'chat', { acceptsKeyHeader: true });
  acceptUpstreamJson(app);

  app.post(
    '/messages',
    {
      bodyLimit,
      schema: {
        operationId: 'createMessage',
        takesIdempotencyKey: true,
        responseHeaders: ['x-tokens-remaining', 'x-tokens-used'],
        summary: "Create a message, in Anthropic's format",
        body: MessagesRequestSchema,
        response: {
          200: {
            description: 'The answer.',
            content: {
              'text/event-stream': { schema: MessageStreamSchema },
              'application/json': { schema: MessageAnswerSchema },
            },
          },
          ...anthropicErrors(400, 401, 402, 403, 404, 409, 413, 415, 422, 502, 504, 529),
        },
      },
    },
    async (request, reply) => {
      const chat = requireChat(services.chat);
      return serveCompletion(chat, createJob(chat, request, request.body), request, reply);
    },
  );

  app.post(
    '/messages/count_tokens',
    {
      bodyLimit,
      schema: {
        operationId: 'countMessageTokens',
        summary: "Estimate the input tokens of a message, in Anthropic's format; nothing is debited",
        body: CountRequestSchema,
        response: { 200: CountSchema, ...anthropicErrors(400, 401, 403, 404, 413, 415) },
      },
    },
    async (request) => {
      const chat = requireChat(services.chat);
      requireKnown(request, request.body);
      chat.models.choose(request.body.model);
      await services.database.call('confirm_user', { p_caller: getUser(request), p_scope: 'chat' }, AnyResult);
      return { input_tokens: await countTokens(chat, request.body) };
    },
  );
};
