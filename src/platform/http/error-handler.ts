import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { toSystemCode } from '../../config/startup-error.js';
import { DatabaseError } from '../database/client/database-error.js';
import { reportFailedRequest } from '../error-reports.js';
import { ApiError, type ErrorCode, toApiError } from '../errors.js';
import { createNoRouteError } from './allowed-methods.js';
import { logFault } from './fault-log.js';

const RETRY_AFTER_SECONDS = 1;
/** What passes by itself, soon. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['SERVICE_UNAVAILABLE', 'SERVER_STOPPING', 'UPSTREAM_UNAVAILABLE']);

/** Maps Fastify's own refusals, by its error codes. */
const FRAMEWORK_ERRORS: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'PAYLOAD_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
  FST_ERR_CTP_EMPTY_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
};

/** Returns any error as one of the closed list. */
export function normalizeError(error: FastifyError | Error): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof DatabaseError) return toApiError(error);
  if (!('code' in error)) return new ApiError('INTERNAL_ERROR', { cause: error });
  const known = FRAMEWORK_ERRORS[error.code];
  if (known !== undefined) return new ApiError(known, { cause: error });
  const isClientFault = error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500;
  return new ApiError(isClientFault ? 'VALIDATION_FAILED' : 'INTERNAL_ERROR', { cause: error });
}

/** Tells whether the server is at fault; a feature that is not set up is no fault. */
function isFault({ statusCode, code }: ApiError): boolean {
  return statusCode >= 500 && !code.endsWith('_DISABLED');
}

/** Tells whether nothing is wrong but that the client went away before the first byte of a stream. */
function hasClientLeft({ cause }: ApiError, reply: FastifyReply): boolean {
  return reply.raw.destroyed && cause instanceof Error && toSystemCode(cause) === 'ERR_STREAM_PREMATURE_CLOSE';
}

/**
 * Answers any error with its status and the one error body.
 *
 * @returns undefined where nobody is left to be answered
 * @param toBody builds the body of another wire format instead
 * @param toStatus chooses the status of another wire format instead
 */
export function answerError(
  error: FastifyError | Error,
  request: FastifyRequest,
  reply: FastifyReply,
  toBody: (error: ApiError) => object = (apiError) => apiError.toBody(),
  toStatus: (error: ApiError) => number = (apiError) => apiError.statusCode,
): FastifyReply | undefined {
  const apiError = normalizeError(error);
  if (hasClientLeft(apiError, reply)) {
    request.log.info('the client went away before the answer');
    return undefined;
  }
  reportFailedRequest(apiError, request);
  if (isFault(apiError)) logFault(request, apiError, PASSING.has(apiError.code));
  else if (apiError.isReported) request.log.warn({ err: apiError.cause }, 'request refused elsewhere');
  const isPassing = PASSING.has(apiError.code) && !apiError.isFinal;
  const retryAfter = apiError.extras['retry_after'] ?? (isPassing ? RETRY_AFTER_SECONDS : undefined);
  if (typeof retryAfter === 'number') reply.header('retry-after', retryAfter);
  // Clients made for OpenAI's API would otherwise send it again up to three times.
  if (apiError.isFinal) reply.header('x-should-retry', 'false');
  if (apiError.statusCode === 401) reply.header('www-authenticate', 'Bearer');
  // No hook has set it where the URL could not be parsed.
  reply.header('x-request-id', request.id);
  // Of a stream that broke before its first byte the response has the stream's own type.
  return reply.code(toStatus(apiError)).type('application/json; charset=utf-8').send(toBody(apiError));
}

/** Maps what Node's HTTP parser refuses, by its error codes. */
const PARSER_ERRORS: Readonly<Record<string, ErrorCode>> = {
  HPE_HEADER_OVERFLOW: 'HEADERS_TOO_LARGE',
  ERR_HTTP_REQUEST_TIMEOUT: 'REQUEST_TIMEOUT',
};

/** Answers what is no complete HTTP request, on the bare socket, as there is no request to reply to. */
export function answerMalformed(error: Error, socket: Socket): void {
  if (!socket.writable) return;
  const known = 'code' in error && typeof error.code === 'string' ? PARSER_ERRORS[error.code] : undefined;
  const apiError =
    known === undefined
      ? new ApiError('VALIDATION_FAILED', { sentence: 'The request is not valid HTTP' })
      : new ApiError(known);
  const body = JSON.stringify(apiError.toBody());
  const status = `${apiError.statusCode} ${STATUS_CODES[apiError.statusCode]}`;
  const head = `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}`;
  socket.end(`${head}\r\nx-request-id: ${randomUUID()}\r\nconnection: close\r\n\r\n${body}`);
}

const errorHandler: FastifyPluginAsync = async (app) => {
  app.setErrorHandler<FastifyError>(answerError);
  app.setNotFoundHandler((request, reply) => answerError(createNoRouteError(app, request, reply), request, reply));
};

/** Turns every error into the one error body; internal details stay in the log. */
export default fp(errorHandler, { name: 'error-handler', dependencies: ['allowed-methods'] });
