import type { FastifyRequest } from 'fastify';
import { DatabaseError } from '../../platform/database/client/database-error.js';
import { reportFailedRequest } from '../../platform/error-reports.js';
import { ApiError, toApiError } from '../../platform/errors.js';
import type { Flow } from './flow.js';

/** Who waits for the end of a sign-in: a client at an address, with a state of its own, or the browser itself. */
export type PendingClient = Pick<Flow, 'redirect_uri' | 'client_state'>;

/** Returns a client's address with the answer to it (RFC 6749, §4.1.2) and the state it sent. */
export function toClientUrl(
  redirectUri: string,
  state: string | null,
  answer: Readonly<Record<string, string>>,
): string {
  const address = new URL(redirectUri);
  const parameters = state === null ? answer : { ...answer, state };
  for (const [name, value] of Object.entries(parameters)) address.searchParams.set(name, value);
  return address.href;
}

function toSignInError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof DatabaseError) return toApiError(error);
  return new ApiError('INTERNAL_ERROR', { cause: error });
}

/** Returns the error code of RFC 6749, §4.1.2.1 that fits an error. */
function toOAuthErrorCode({ statusCode }: ApiError): string {
  if (statusCode < 500) return 'access_denied';
  return statusCode === 503 ? 'temporarily_unavailable' : 'server_error';
}

/**
 * Takes a step of a sign-in and returns where to send the browser. Where a client waits, it learns of an error at its
 * own address, as it sees nothing of what the browser is shown in between.
 *
 * @param step returns where to send the browser when all goes well
 * @returns that, or the client's address with the error
 * @throws what the step throws, where no client waits
 */
export async function resolveRedirectTarget(
  request: FastifyRequest,
  { redirect_uri, client_state }: PendingClient,
  step: () => Promise<string>,
): Promise<string> {
  try {
    return await step();
  } catch (error) {
    if (redirect_uri === null) throw error;
    const apiError = toSignInError(error);
    reportFailedRequest(apiError, request);
    if (apiError.statusCode >= 500) request.log.error({ err: apiError.cause ?? apiError }, 'sign-in failed');
    // What somebody new may do about it is no fault of the sign-in, which alone says nothing.
    const description = apiError.statusCode === 403 && { error_description: apiError.message };
    return toClientUrl(redirect_uri, client_state, { error: toOAuthErrorCode(apiError), ...description });
  }
}
