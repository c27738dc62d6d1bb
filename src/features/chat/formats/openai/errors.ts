import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { ApiError, ErrorCode } from '../../../../platform/errors.js';
import { answerError, normalizeError } from '../../../../platform/http/error-handler.js';
import { toNamedError } from '../named-error.js';

/** Our codes as OpenAI's clients know them; the others are sent in lower case. */
const CODES: Partial<Record<ErrorCode, string>> = {
  MISSING_TOKEN: 'invalid_api_key',
  INVALID_TOKEN: 'invalid_api_key',
  INSUFFICIENT_TOKENS: 'insufficient_quota',
  MODEL_NOT_ALLOWED: 'model_not_found',
  MODEL_NOT_FOUND: 'model_not_found',
  UPSTREAM_RATE_LIMITED: 'rate_limit_exceeded',
};

/** Where everything speaks OpenAI's format. */
export const OPENAI_PREFIX = '/v1';

/** Returns whether a path is where OpenAI's clients look. */
export function isOpenAiPath(url: string): boolean {
  return url.startsWith(OPENAI_PREFIX) && ['', '/', '?'].includes(url.charAt(OPENAI_PREFIX.length));
}

/** Returns the member of the request that an error is about, as OpenAI names one; null where it is about none. */
function toParam({ code, extras }: ApiError): string | null {
  if (code === 'MODEL_NOT_ALLOWED' || code === 'MODEL_NOT_FOUND') return 'model';
  return typeof extras['param'] === 'string' ? extras['param'] : null;
}

function toErrorType(error: ApiError): string {
  if (error.code === 'INSUFFICIENT_TOKENS') return 'insufficient_quota';
  if (error.statusCode === 401) return 'authentication_error';
  if (error.statusCode === 429) return 'rate_limit_error';
  return error.statusCode >= 500 ? 'server_error' : 'invalid_request_error';
}

/** Returns the error body of the OpenAI format. */
export function toOpenAiError(error: ApiError): { error: Record<string, unknown> } {
  const { reason } = error.extras;
  // Upstream's own reasons have the names OpenAI has for them.
  const refusal = error.code === 'UPSTREAM_REFUSED' && typeof reason === 'string' ? reason : undefined;
  const code = refusal ?? CODES[error.code] ?? error.code.toLowerCase();
  return { error: { ...error.extras, message: error.message, type: toErrorType(error), param: toParam(error), code } };
}

/**
 * Answers errors as OpenAI does; headers and log are those of every route. An empty balance is 429 there, and as
 * another attempt would fail as well, a header keeps OpenAI's own clients from making one.
 */
export function answerOpenAiError(error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply) {
  const apiError = ('validation' in error ? toNamedError(error) : undefined) ?? normalizeError(error);
  if (apiError.code !== 'INSUFFICIENT_TOKENS') return answerError(apiError, request, reply, toOpenAiError);
  return reply.code(429).header('x-should-retry', 'false').send(toOpenAiError(apiError));
}
