import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { answerAnthropicError, isForAnthropicClient } from './anthropic/errors.js';
import { answerOpenAiError } from './openai/errors.js';

/** Answers errors below `/v1` as the client's API does: Anthropic's, or OpenAI's. */
export function answerClientError(error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply) {
  const answer = isForAnthropicClient(request) ? answerAnthropicError : answerOpenAiError;
  return answer(error, request, reply);
}
