import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { acceptUser, getOptionalUser } from '../../../../auth/guards/user-guard.js';
import { parseIdempotencyKey } from '../../../../metering/idempotency-key.js';
import { errors } from '../../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../../platform/http/route-defaults.js';
import type { Chat } from '../../chat.js';
import { CHAT_BODY_LIMIT_BYTES, type Door, requireChat, serveChat } from '../../serve.js';
import { chatStyle } from '../openai/format.js';
import { type PayerServices, payerOf } from './reserver.js';
import { ChatAnswerSchema, ChatRequestSchema, EventStreamSchema } from './schemas.js';

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

interface ChatRoutesOptions extends PayerServices {
  readonly chat: Chat | undefined;
}

/** Serves `POST /chat/stream` (contract 4). */
export const chatRoutes: FastifyPluginAsyncTypebox<ChatRoutesOptions> = async (app, services) => {
  describeRoutes(app, { tags: ['Chat'] });
  // Without a bearer token the body has to say who asks.
  acceptUser(app);

  app.post(
    '/chat/stream',
    {
      bodyLimit: CHAT_BODY_LIMIT_BYTES,
      schema: {
        summary: 'Asks a language model; the answer is streamed, and its tokens are debited',
        body: ChatRequestSchema,
        response: {
          200: {
            description: 'The answer.',
            content: {
              'text/event-stream': { schema: EventStreamSchema },
              'application/json': { schema: ChatAnswerSchema },
            },
          },
          ...errors(403, 409, 422, 502),
        },
      },
    },
    async (request, reply) => {
      const { access_token: accessToken, model: asked, stream: streaming = true, ...body } = request.body;
      const chat = requireChat(services.chat);
      const reserve = await payerOf(services, chat, getOptionalUser(request), accessToken);
      const model = chat.models.choose(asked);
      const idempotencyKey = parseIdempotencyKey(request, undefined);
      const order = { reserve, model, streaming, idempotencyKey, body: { temperature: STANDARD_TEMPERATURE, ...body } };
      return serveChat(chat, { source: 'chat', ...order }, doorOf(model), request, reply);
    },
  );
};
