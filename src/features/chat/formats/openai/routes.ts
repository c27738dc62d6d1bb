import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { getUser, requireUser } from '../../../../auth/guards/user-guard.js';
import { parseIdempotencyKey } from '../../../../metering/idempotency-key.js';
import { AnyResult, type Database } from '../../../../platform/database/client/database.js';
import { describeRoutes } from '../../../../platform/http/route-defaults.js';
import type { Chat } from '../../chat.js';
import type { ChatOrder } from '../../completion.js';
import { CHAT_BODY_LIMIT_BYTES, type Door, requireChat, serveChat } from '../../serve.js';
import { answerOpenAiError } from './errors.js';
import { openAiStyle } from './format.js';
import {
  type CompletionRequest,
  CompletionRequestSchema,
  CompletionSchema,
  CompletionStreamSchema,
  ModelsSchema,
  openAiErrors,
} from './schemas.js';

const doorOf = (model: string, request: CompletionRequest): Door => ({
  styleOf: (generation) => openAiStyle(generation, model, request.stream_options?.include_usage === true),
  bodyOf: ({ text }) => text,
});

/** What was sent as null is as absent, and means upstream's own choice. */
function withoutNulls(body: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
}

/** The OpenAI wire format: any client of it that can be told a base URL and a key is a metered one. */
export const openAiRoutes: FastifyPluginAsyncTypebox<{ database: Database; chat: Chat | undefined }> = async (
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
        summary: 'Asks a language model, in the OpenAI wire format',
        body: CompletionRequestSchema,
        response: {
          200: {
            description: 'The answer.',
            content: {
              'text/event-stream': { schema: CompletionStreamSchema },
              'application/json': { schema: CompletionSchema },
            },
          },
          ...openAiErrors(400, 401, 409, 413, 415, 422, 502),
        },
      },
    },
    async (request, reply) => {
      const chat = requireChat(services.chat);
      const { model: asked, stream, ...body } = request.body;
      const model = chat.models.choose(asked);
      const order = {
        source: 'api',
        model,
        body: withoutNulls(body),
        streaming: stream === true,
        idempotencyKey: parseIdempotencyKey(request, undefined),
        reserve: (reservation) => chat.meter.reserve(getUser(request), reservation),
      } satisfies ChatOrder;
      return serveChat(chat, order, doorOf(model, request.body), request, reply);
    },
  );

  app.get(
    '/v1/models',
    {
      schema: {
        summary: 'The models that are offered, in the OpenAI wire format',
        response: { 200: ModelsSchema, ...openAiErrors(401, 502) },
      },
    },
    async (request) => {
      await services.database.call('confirm_user', { p_caller: getUser(request) }, AnyResult);
      return { object: 'list' as const, data: [...(await requireChat(services.chat).models.list())] };
    },
  );
};
