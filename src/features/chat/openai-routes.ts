import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { requireUser, userOf } from '../../auth/guards/user-guard.js';
import { idempotencyKeyOf } from '../../metering/idempotency-key.js';
import { callDatabase } from '../../platform/database/client/client.js';
import type { Services } from '../../services.js';
import type { ChatOrder } from './generation.js';
import { answerOpenAiError } from './openai-errors.js';
import {
  type CompletionRequest,
  CompletionRequestSchema,
  CompletionSchema,
  CompletionStreamSchema,
  ModelsSchema,
  openAiErrors,
} from './openai-schemas.js';
import { CHAT_BODY_LIMIT_BYTES, chatOf, type Door, serveChat } from './serve.js';
import { openAiStyle } from './stream-styles.js';

const doorOf = (model: string, request: CompletionRequest): Door => ({
  styleOf: (generation) => openAiStyle(generation, model, request.stream_options?.include_usage === true),
  bodyOf: ({ text }) => text,
});

/** What was sent as null is as absent, and means upstream's own choice. */
function withoutNulls(body: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
}

/** The OpenAI wire format: any client of it that can be told a base URL and a key is a metered one. */
export const openAiRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  app.setErrorHandler(answerOpenAiError);
  requireUser(app, services);

  app.post(
    '/v1/chat/completions',
    {
      bodyLimit: CHAT_BODY_LIMIT_BYTES,
      schema: {
        tags: ['Chat'],
        summary: 'Asks a language model, in the OpenAI wire format',
        security: [{ userToken: [] }],
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
      const chat = chatOf(services);
      const { model: asked, stream, ...body } = request.body;
      const model = chat.models.choose(asked);
      const order = {
        source: 'api',
        model,
        body: withoutNulls(body),
        streaming: stream === true,
        idempotencyKey: idempotencyKeyOf(request, undefined),
        reserve: (reservation) => chat.meter.reserve(userOf(request), reservation),
      } satisfies ChatOrder;
      return serveChat(chat, order, doorOf(model, request.body), request, reply);
    },
  );

  app.get(
    '/v1/models',
    {
      schema: {
        tags: ['Chat'],
        summary: 'The models that are offered, in the OpenAI wire format',
        security: [{ userToken: [] }],
        response: { 200: ModelsSchema, ...openAiErrors(401, 502) },
      },
    },
    async (request) => {
      await callDatabase(() => services.database.rpc('confirm_user', { p_caller: userOf(request) }));
      return { object: 'list' as const, data: [...(await chatOf(services).models.list())] };
    },
  );
};
