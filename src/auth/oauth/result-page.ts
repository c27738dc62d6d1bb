import type { FastifyReply, FastifyRequest } from 'fastify';
import { DatabaseError } from '../../platform/database/client/database-error.js';
import { reportFailedRequest } from '../../platform/error-reports.js';
import { ApiError, toApiError } from '../../platform/errors.js';
import { isNavigation } from '../../platform/http/navigation.js';
import type { ProviderName } from './external-identity.js';

/** Returns the address of this server's own page that a sign-in ends at. */
export const toSignedInPage = (publicUrl: string): string => `${publicUrl}/signed-in`;

/** Returns the page on which a person may begin a sign-in, which then has a client to end at. */
export const toBeginPage = (publicUrl: string, provider: ProviderName): string =>
  `${toSignedInPage(publicUrl)}?provider=${provider}`;

function toCode(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof DatabaseError) return toApiError(error);
  return new ApiError('INTERNAL_ERROR', { cause: error });
}

/**
 * Shows a person what became of a sign-in on a page instead of as JSON, where no client waits to be told.
 * @throws the error itself, for a program to be answered as ever
 */
export function showFailure(error: unknown, request: FastifyRequest, reply: FastifyReply, publicUrl: string): unknown {
  if (!isNavigation(request)) throw error;
  const failure = toCode(error);
  reportFailedRequest(failure, request);
  if (failure.statusCode >= 500) request.log.error({ err: failure.cause ?? failure }, 'sign-in failed');
  return reply.redirect(`${toSignedInPage(publicUrl)}?error=${failure.code}`);
}
