import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { DatabaseError } from '../database/client/database-error.js';
import { ApiError, apiErrorOf, type ErrorCode } from '../errors.js';

const RETRY_AFTER_SECONDS = 1;

/** Fastify's own refusals, by its error code. */
const FRAMEWORK_ERRORS: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'PAYLOAD_TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
  FST_ERR_CTP_EMPTY_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
};

function validationErrorOf(error: FastifyError): ApiError {
  const [first] = error.validation ?? [];
  const path = first?.instancePath.slice(1).replaceAll('/', '.') ?? '';
  const subject = path === '' ? (error.validationContext ?? 'request') : path;
  return new ApiError('VALIDATION_FAILED', {
    sentence: `${subject} ${first?.message ?? 'is not valid'}`,
    cause: error,
  });
}

/** Any error as one of the closed list. */
export function apiErrorFor(error: FastifyError | Error): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof DatabaseError) return apiErrorOf(error);
  if (!('code' in error)) return new ApiError('INTERNAL_ERROR', { cause: error });
  if (error.validation) return validationErrorOf(error);
  const known = FRAMEWORK_ERRORS[error.code];
  if (known !== undefined) return new ApiError(known, { cause: error });
  const isClientFault = error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500;
  return new ApiError(isClientFault ? 'VALIDATION_FAILED' : 'INTERNAL_ERROR', { cause: error });
}

/** Whether an error is somebody's to mend here; that a feature is not set up is not. */
function isFault({ statusCode, code }: ApiError): boolean {
  return statusCode >= 500 && !code.endsWith('_DISABLED');
}

/** Answers any error with its status and the one error body, or the body of another wire format. */
export function answerError(
  error: FastifyError | Error,
  request: FastifyRequest,
  reply: FastifyReply,
  bodyOf: (error: ApiError) => object = (apiError) => apiError.toBody(),
) {
  const apiError = apiErrorFor(error);
  if (isFault(apiError)) request.log.error({ err: apiError.cause ?? apiError }, 'request failed');
  const retryAfter =
    apiError.extras['retry_after'] ?? (apiError.code === 'SERVICE_UNAVAILABLE' ? RETRY_AFTER_SECONDS : undefined);
  if (typeof retryAfter === 'number') reply.header('retry-after', retryAfter);
  if (apiError.statusCode === 401) reply.header('www-authenticate', 'Bearer');
  // Where the URL cannot be read no hook has run that would have set it.
  reply.header('x-request-id', request.id);
  return reply.code(apiError.statusCode).send(bodyOf(apiError));
}

/** Answers bytes that are not HTTP, where there is no request yet to reply to. */
export function answerMalformed(_error: Error, socket: Socket): void {
  if (!socket.writable) return;
  const body = JSON.stringify(
    new ApiError('VALIDATION_FAILED', { sentence: 'The request is not valid HTTP' }).toBody(),
  );
  const head = `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}`;
  socket.end(`${head}\r\nx-request-id: ${randomUUID()}\r\nconnection: close\r\n\r\n${body}`);
}

const errorHandler: FastifyPluginAsync = async (app) => {
  app.setErrorHandler<FastifyError>(answerError);
  app.setNotFoundHandler((request, reply) => answerError(new ApiError('NOT_FOUND'), request, reply));
};

/** Turns every error into the one error body; what is internal stays in the log. */
export default fp(errorHandler, { name: 'error-handler' });
