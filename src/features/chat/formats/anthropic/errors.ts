import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { ApiError, ErrorCode } from '../../../../platform/errors.js';
import { answerError, normalizeError } from '../../../../platform/http/error-handler.js';
import { toNamedError } from '../named-error.js';

/** Anthropic's error types by status (API reference, "Errors"); other refusals are `invalid_request_error`. */
const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  409: 'conflict_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
  529: 'overloaded_error',
};
/** Statuses that are Anthropic's where ours differ: its clients never try again after 402. */
const STATUSES: Partial<Record<ErrorCode, number>> = { INSUFFICIENT_TOKENS: 402, MODEL_NOT_ALLOWED: 404 };
/** The same by upstream's reasons. */
const REASON_STATUSES: Readonly<Record<string, number>> = {
  model_not_found: 404,
  overloaded: 529,
  request_too_large: 413,
};
/** How Anthropic's message begins that has clients shorten the conversation by themselves. */
const TOO_LONG = 'prompt is too long';
/** Where Anthropic's clients look. */
const PATH = /^\/v1\/messages(?=$|[/?])/;

/** Returns whether an answer is for a client of Anthropic's API: by its path, or by the header all of them send. */
export function isForAnthropicClient({ url, headers }: Pick<FastifyRequest, 'url' | 'headers'>): boolean {
  return PATH.test(url) || headers['anthropic-version'] !== undefined;
}

function toStatus({ code, statusCode, extras }: ApiError): number {
  return REASON_STATUSES[String(extras['reason'])] ?? STATUSES[code] ?? statusCode;
}

/** Returns the error body of Anthropic's format. */
export function toAnthropicError(error: ApiError, requestId: string) {
  const status = toStatus(error);
  const type = TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error');
  const isTooLong = error.extras['reason'] === 'context_length_exceeded';
  const message = isTooLong ? `${TOO_LONG}: ${error.message}` : error.message;
  return {
    type: 'error',
    error: { ...error.extras, code: error.code.toLowerCase(), type, message },
    request_id: requestId,
  };
}

/** Answers errors as Anthropic does; headers and log are those of every route. */
export function answerAnthropicError(error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply) {
  const apiError = ('validation' in error ? toNamedError(error) : undefined) ?? normalizeError(error);
  reply.header('request-id', request.id);
  // Without an upstream, or without tokens, another attempt fails as well.
  if (['CHAT_DISABLED', 'INSUFFICIENT_TOKENS'].includes(apiError.code)) reply.header('x-should-retry', 'false');
  return answerError(apiError, request, reply, (answered) => toAnthropicError(answered, request.id), toStatus);
}
