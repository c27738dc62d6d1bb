import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { type ChatServices, requireChat, serveCompletion } from '../../completion.js';
import { createApiJob } from '../openai/job.js';
import { openAiErrors } from '../openai/schemas.js';
import { createEmbeddingsCodec } from './codec.js';
import { requireInput } from './input.js';
import { EmbeddingRequestSchema, EmbeddingsSchema } from './schemas.js';

interface EmbeddingsRoutesOptions {
  readonly chat: ChatServices | undefined;
  /** Largest request, in bytes. */
  readonly bodyLimitBytes: number;
}

/** Serves embeddings to whom the scope lets in. */
export const embeddingsRoutes: FastifyPluginAsyncTypebox<EmbeddingsRoutesOptions> = async (app, services) => {
  app.post(
    '/embeddings',
    {
      bodyLimit: services.bodyLimitBytes,
      schema: {
        operationId: 'createEmbeddings',
        takesIdempotencyKey: true,
        responseHeaders: ['x-tokens-remaining', 'x-tokens-used'],
        summary: 'Create embeddings, in the OpenAI format',
        body: EmbeddingRequestSchema,
        response: { 200: EmbeddingsSchema, ...openAiErrors(400, 401, 403, 409, 413, 415, 422, 502, 504) },
      },
    },
    async (request, reply) => {
      const chat = requireChat(services.chat);
      const { input } = request.body;
      requireInput(input);
      const job = createApiJob(chat, request, request.body, { createCodec: () => createEmbeddingsCodec(input) });
      return serveCompletion(chat, job, request, reply);
    },
  );
};
