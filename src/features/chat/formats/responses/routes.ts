import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { type ChatServices, requireChat, serveCompletion } from '../../completion.js';
import { createApiJob } from '../openai/job.js';
import { openAiErrors } from '../openai/schemas.js';
import { createResponsesCodec } from './codec.js';
import { RESPONSES_EXTRAS, requireInput } from './extras.js';
import { DROPPED_FIELDS, ResponseRequestSchema, ResponseSchema, ResponseStreamSchema } from './schemas.js';

interface ResponsesRoutesOptions {
  readonly chat: ChatServices | undefined;
  /** Largest request, in bytes. */
  readonly bodyLimitBytes: number;
}

/** What a request in the Responses format has of its own. */
const FORMAT = { dropped: DROPPED_FIELDS, extras: RESPONSES_EXTRAS, createCodec: createResponsesCodec } as const;

/** Serves the Responses format to whom the scope lets in. */
export const responsesRoutes: FastifyPluginAsyncTypebox<ResponsesRoutesOptions> = async (app, services) => {
  app.post(
    '/responses',
    {
      bodyLimit: services.bodyLimitBytes,
      schema: {
        operationId: 'createResponse',
        takesIdempotencyKey: true,
        responseHeaders: ['x-tokens-remaining', 'x-tokens-used'],
        summary: 'Create a response, in the Responses format of OpenAI',
        body: ResponseRequestSchema,
        response: {
          200: {
            description: 'The answer.',
            content: {
              'text/event-stream': { schema: ResponseStreamSchema },
              'application/json': { schema: ResponseSchema },
            },
          },
          ...openAiErrors(400, 401, 403, 409, 413, 415, 422, 502, 504),
        },
      },
    },
    async (request, reply) => {
      const chat = requireChat(services.chat);
      const job = createApiJob(chat, request, request.body, FORMAT);
      // A stored prompt has its own input.
      if (job.body['prompt'] === undefined) requireInput(job.body['input']);
      return serveCompletion(chat, job, request, reply);
    },
  );
};
