import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { acceptUser } from '../../../../auth/guards/user-guard.js';
import { parseIdempotencyKey } from '../../../../metering/idempotency-key.js';
import { errors } from '../../../../platform/http/error-schema.js';
import { describeRoutes } from '../../../../platform/http/route-defaults.js';
import type { Codec } from '../../codec.js';
import { type ChatServices, requireChat, serveCompletion } from '../../completion.js';
import type { Settlement } from '../../metering/chat-meter.js';
import { ANONYMOUS_BODY_LIMIT_BYTES, limitAnonymousBodies } from '../../request/body-limits.js';
import type { CompletionJob } from '../../request/completion-job.js';
import { formatEvent } from '../../stream/sse.js';
import { COMPLETION_CODEC, createLengthChunk, DONE } from '../openai/codec.js';
import { toUpstreamMessage } from './messages.js';
import { createReserver, type ReserverServices } from './reserver.js';
import { ChatAnswerSchema, type ChatRequest, ChatRequestSchema, EventStreamSchema } from './schemas.js';

const DEFAULT_TEMPERATURE = 0.7;

/** Returns the event that reports the balance. */
function createTokenUpdate({ remaining, tokensUsed }: Settlement, isCut: boolean): string {
  const update = { type: 'token_update', tokens_left: remaining, tokens_used: tokensUsed };
  return formatEvent({ ...update, ...(isCut && { reason: 'quota' }) });
}

/** Builds contract 4's answers for a model: every chunk as it came, then the balance, then the end. */
function createChatStreamCodec(model: string): Codec {
  return {
    ...COMPLETION_CODEC,
    shouldForward: () => true,
    finalEvents: ({ stopReason, report, settlement }) => {
      const isCut = stopReason?.kind === 'quota';
      const fault = stopReason?.kind === 'fault' ? formatEvent({ type: 'error', ...stopReason.error.toBody() }) : '';
      const length = isCut ? createLengthChunk(report, model, 1) : '';
      const update = settlement === undefined ? '' : createTokenUpdate(settlement, isCut);
      return fault + length + update + DONE;
    },
    // Into the text, as numbers would not all survive being read: a JSON object ends with its brace.
    toBody: ({ text, settlement: { remaining, tokensUsed } }) =>
      `${text.trimEnd().slice(0, -1)},"tokens_left":${remaining},"tokens_used":${tokensUsed}}`,
  };
}

/** Returns the fields of a request that go upstream; what it has besides is ignored, as by the API this one stands in for. */
function toUpstreamFields({ messages, temperature, max_tokens: maxTokens }: ChatRequest): Record<string, unknown> {
  return {
    temperature: temperature ?? DEFAULT_TEMPERATURE,
    messages: messages.map(toUpstreamMessage),
    ...(typeof maxTokens === 'number' && { max_tokens: maxTokens }),
  };
}

interface ChatStreamRoutesOptions extends ReserverServices {
  readonly chat: ChatServices | undefined;
  /** Largest request behind a bearer token, in bytes. */
  readonly bodyLimitBytes: number;
}

/**
 * Returns what is to be done for a request.
 * @throws {ApiError} MISSING_TOKEN, INVALID_ACCESS_TOKEN, GOOGLE_DISABLED, MODEL_NOT_ALLOWED, VALIDATION_FAILED
 */
async function createJob(
  services: ReserverServices,
  chat: ChatServices,
  request: FastifyRequest,
  reply: FastifyReply,
  received: ChatRequest,
): Promise<CompletionJob> {
  const accessToken = received.access_token ?? undefined;
  const reserve = await createReserver(services, chat.meter, accessToken, request, reply);
  const model = chat.models.choose(received.model ?? undefined);
  return {
    source: 'chat',
    model,
    reserve,
    received,
    body: toUpstreamFields(received),
    isStreaming: received.stream ?? true,
    idempotencyKey: parseIdempotencyKey(request, undefined),
    codec: createChatStreamCodec(model),
  };
}

/** Serves `POST /chat/stream` (contract 4). */
export const chatStreamRoutes: FastifyPluginAsyncTypebox<ChatStreamRoutesOptions> = async (app, services) => {
  describeRoutes(app, { tags: ['Chat'] });
  // Without a bearer token the body has to say who asks.
  acceptUser(app, 'chat');

  app.post(
    '/chat/stream',
    {
      config: { spendsTokens: true },
      bodyLimit: services.bodyLimitBytes,
      preParsing: limitAnonymousBodies(Math.min(ANONYMOUS_BODY_LIMIT_BYTES, services.bodyLimitBytes)),
      schema: {
        operationId: 'streamChat',
        takesIdempotencyKey: true,
        responseHeaders: ['x-tokens-remaining', 'x-tokens-used'],
        summary: 'Ask a language model, stream its answer and debit the tokens',
        body: ChatRequestSchema,
        response: {
          200: {
            description: 'The answer.',
            content: {
              'text/event-stream': { schema: EventStreamSchema },
              'application/json': { schema: ChatAnswerSchema },
            },
          },
          ...errors(403, 409, 422, 502, 504),
        },
      },
    },
    async (request, reply) => {
      const chat = requireChat(services.chat);
      const job = await createJob(services, chat, request, reply, request.body);
      return serveCompletion(chat, job, request, reply);
    },
  );
};
