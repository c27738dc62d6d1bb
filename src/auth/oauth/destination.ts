import type { FastifyRequest } from 'fastify';
import { DatabaseError } from '../../platform/database/client/database-error.js';
import { ApiError, toApiError } from '../../platform/errors.js';
import type { Flow } from './flow.js';

/** Who waits for the end of a sign-in: a client at an address, with a state of its own, or the browser itself. */
export type PendingClient = Pick<Flow, 'redirect_uri' | 'client_state'>;

/** A client's address with what it is told, and the state it sent. */
export function addressFor(redirectUri: string, state: string | null, told: Readonly<Record<string, string>>): string {
  const address = new URL(redirectUri);
  const parameters = state === null ? told : { ...told, state };
  for (const [name, value] of Object.entries(parameters)) address.searchParams.set(name, value);
  return address.href;
}

function apiErrorFrom(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof DatabaseError) return toApiError(error);
  return new ApiError('INTERNAL_ERROR', { cause: error });
}

/** An error in the words of RFC 6749, §4.1.2.1. */
function toOAuthErrorCode({ statusCode }: ApiError): string {
  if (statusCode < 500) return 'access_denied';
  return statusCode === 503 ? 'temporarily_unavailable' : 'server_error';
}

/**
 * Takes a step of a sign-in. Where a client waits, it learns of an error at its own address, as it sees nothing of what
 * the browser is shown in between.
 *
 * @param step answers where to send the browser
 * @returns that, or the client's address with the error
 * @throws what the step throws, where no client waits
 */
export async function redirectTarget(
  request: FastifyRequest,
  { redirect_uri, client_state }: PendingClient,
  step: () => Promise<string>,
): Promise<string> {
  try {
    return await step();
  } catch (error) {
    if (redirect_uri === null) throw error;
    const apiError = apiErrorFrom(error);
    if (apiError.statusCode >= 500) request.log.error({ err: apiError.cause ?? apiError }, 'sign-in failed');
    return addressFor(redirect_uri, client_state, { error: toOAuthErrorCode(apiError) });
  }
}
