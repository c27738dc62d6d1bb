import {
  AuthorizationResponseError,
  ClientError,
  ResponseBodyError,
  WWWAuthenticateChallengeError,
} from 'openid-client';
import { ApiError } from '../../platform/errors.js';
import type { ExternalIdentity } from './external-identity.js';
import type { FlowSecrets } from './flow.js';

/** Longest wait for a provider's answer, in seconds. */
export const PROVIDER_TIMEOUT_SECONDS = 5;

/** A service people sign in with. */
export interface SignInProvider {
  /**
   * Returns where to send the browser.
   * @throws {ApiError} SERVICE_UNAVAILABLE
   */
  readonly authorizationUrl: (secrets: FlowSecrets) => Promise<URL>;
  /**
   * Returns who signed in.
   * @param search the query the provider sent the browser back with
   * @throws {ApiError} INVALID_CREDENTIALS where nobody did, SERVICE_UNAVAILABLE where the provider is out of reach,
   *   SIGN_IN_MISCONFIGURED where it does not accept this server's client
   */
  readonly identity: (search: string, secrets: FlowSecrets) => Promise<ExternalIdentity>;
}

/** Creates the error for a sign-in the person or the provider refused, or one whose answer belongs to another. */
export function createRefusal(cause?: unknown): ApiError {
  return new ApiError('INVALID_CREDENTIALS', { sentence: 'The sign-in was refused', cause });
}

/** Errors of RFC 6749, §4.1.2.1 that are the provider's own trouble. */
const PROVIDER_TROUBLE = ['server_error', 'temporarily_unavailable'];
/** Errors about a code that is not valid: RFC 6749, §5.2, and GitHub's own. */
const BAD_CODE = ['invalid_grant', 'bad_verification_code'];
/**
 * Errors about this server's own client: RFC 6749, §4.1.2.1 and §5.2, and GitHub's and Google's own. People can do nothing
 * about them, and waiting does not help.
 */
const BAD_CLIENT: ReadonlySet<string> = new Set([
  'invalid_client',
  'incorrect_client_credentials',
  'unauthorized_client',
  'redirect_uri_mismatch',
  'application_suspended',
  'unsupported_response_type',
  'unsupported_grant_type',
  'invalid_scope',
  'invalid_request',
]);
/** An ID token or a profile that is not about this sign-in (OpenID Connect Core, §3.1.3.7 and §5.3.2), or too late. */
const NOT_THIS_SIGN_IN = [
  'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED',
  'OAUTH_JWT_CLAIM_COMPARISON_FAILED',
  'OAUTH_JWT_TIMESTAMP_CHECK_FAILED',
];

/**
 * Tells whether a challenge is about this server's client (RFC 6749, §5.2: a 401 names the scheme the client used). Those of
 * the scheme Bearer are about an access token, unless they say otherwise.
 */
function isClientChallenge({ cause }: WWWAuthenticateChallengeError): boolean {
  return cause.some(
    ({ scheme, parameters }) => scheme.toLowerCase() !== 'bearer' || BAD_CLIENT.has(parameters.error ?? ''),
  );
}

function isMisconfigured(error: unknown): boolean {
  if (error instanceof WWWAuthenticateChallengeError) return isClientChallenge(error);
  return (
    (error instanceof AuthorizationResponseError || error instanceof ResponseBodyError) && BAD_CLIENT.has(error.error)
  );
}

function isRefusal(error: unknown): boolean {
  if (error instanceof AuthorizationResponseError) return !PROVIDER_TROUBLE.includes(error.error);
  if (error instanceof ResponseBodyError) return BAD_CODE.includes(error.error);
  return error instanceof ClientError && NOT_THIS_SIGN_IN.includes(error.code ?? '');
}

/** Describes what went wrong, without the request or the answer, which hold codes and tokens. */
function describeError(error: unknown): string {
  if (error instanceof ResponseBodyError) return `answered ${error.status} ${error.error}`;
  if (error instanceof WWWAuthenticateChallengeError) return `answered ${error.status} with a challenge`;
  if (error instanceof AuthorizationResponseError) return `sent back ${error.error}`;
  if (!(error instanceof Error)) return 'failed';
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

/** Creates the error for a client the provider does not accept: only the operator can put it right, told by the log. */
function createMisconfiguration(provider: string, error: unknown): ApiError {
  const name = provider.toUpperCase();
  const cause = new Error(
    `${provider}: ${describeError(error)}; look at ${name}_CLIENT_ID, ${name}_CLIENT_SECRET and the redirect address registered there`,
  );
  return new ApiError('SIGN_IN_MISCONFIGURED', { cause });
}

/** Creates the error for a provider that is slow, down or an impostor; the reason is for the log. */
export function createOutage(provider: string, error: unknown): ApiError {
  return new ApiError('SERVICE_UNAVAILABLE', { cause: new Error(`${provider}: ${describeError(error)}`) });
}

/** Makes requests to a provider; what fails becomes a refusal ({@link createRefusal}), a misconfiguration or an outage ({@link createOutage}). */
export async function withProviderErrors<T>(provider: string, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if (error instanceof ApiError) throw error;
    if (isMisconfigured(error)) throw createMisconfiguration(provider, error);
    throw isRefusal(error) ? createRefusal(error) : createOutage(provider, error);
  }
}
