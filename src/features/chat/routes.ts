import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { acceptUser, givenUserOf } from '../../auth/guards/user-guard.js';
import { idempotencyKeyOf } from '../../metering/idempotency-key.js';
import { errors } from '../../platform/http/error-schema.js';
import type { Services } from '../../services.js';
import { payerOf } from './payer.js';
import { ChatAnswerSchema, ChatRequestSchema, EventStreamSchema } from './schemas.js';
import { CHAT_BODY_LIMIT_BYTES, chatOf, type Door, serveChat } from './serve.js';
import { chatStyle } from './stream-styles.js';

const STANDARD_TEMPERATURE = 0.7;

/** Contract 4's answers for a model. */
const doorOf = (model: string): Door => ({
  styleOf: (generation) => chatStyle(generation, model),
  bodyOf: ({ text, settlement: { remaining, tokensUsed } }) => ({
    ...JSON.parse(text),
    tokens_left: remaining,
    tokens_used: tokensUsed,
  }),
});

/** `POST /chat/stream` (contract 4). */
export const chatRoutes: FastifyPluginAsyncTypebox<Services> = async (app, services) => {
  // Without a bearer token the body has to say who asks.
  acceptUser(app, services);

  app.post(
    '/chat/stream',
    {
      bodyLimit: CHAT_BODY_LIMIT_BYTES,
      schema: {
        tags: ['Chat'],
        summary: 'Asks a language model; the answer is streamed, and its tokens are debited',
        security: [{ userToken: [] }, {}],
        body: ChatRequestSchema,
        response: {
          200: {
            description: 'The answer.',
            content: {
              'text/event-stream': { schema: EventStreamSchema },
              'application/json': { schema: ChatAnswerSchema },
            },
          },
          ...errors(400, 401, 403, 409, 413, 415, 422, 502),
        },
      },
    },
    async (request, reply) => {
      const { access_token: accessToken, model: asked, stream: streaming = true, ...body } = request.body;
      const chat = chatOf(services);
      const reserve = await payerOf(services, chat, givenUserOf(request), accessToken);
      const model = chat.models.choose(asked);
      const idempotencyKey = idempotencyKeyOf(request, undefined);
      const order = { reserve, model, streaming, idempotencyKey, body: { temperature: STANDARD_TEMPERATURE, ...body } };
      return serveChat(chat, { source: 'chat', ...order }, doorOf(model), request, reply);
    },
  );
};
