import { createHash } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { callDatabase } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { ApiError } from '../../platform/errors.js';
import type { Services } from '../../services.js';
import type { StartedSession } from '../sessions/login.js';
import { newSession, OpenedSessionSchema, openedSessionOf } from '../sessions/session.js';
import { digestOf, randomToken } from '../tokens/opaque-token.js';
import type { ExternalIdentity } from './external-identity.js';
import type { SwapCodeSchema } from './schemas.js';

const swapOf = shapeOf(
  Type.Union([
    Type.Composite([Type.Object({ granted: Type.Literal(true) }), OpenedSessionSchema]),
    Type.Object({ granted: Type.Literal(false) }),
  ]),
);

/** The account a provider's identity opens, or is made for. */
const accountOf = ({ config }: Services, identity: ExternalIdentity) => ({
  p_identity: identity,
  p_default_tokens: config.DEFAULT_USER_TOKENS,
});

/**
 * Opens a session for somebody who signed in with a provider.
 * @throws {ApiError} INVALID_CREDENTIALS where their address belongs to another person of that provider
 */
export async function logInExternally(
  services: Services,
  request: FastifyRequest,
  identity: ExternalIdentity,
): Promise<StartedSession> {
  const { refreshToken, p_session } = newSession(services, request);
  const account = { ...accountOf(services, identity), p_session };
  const opened = await callDatabase(() => services.database.rpc('sign_in_with_provider', account));
  return { opened: openedSessionOf(opened), refreshToken };
}

/**
 * Makes a code that can be swapped for a session within 2 minutes, by whoever it was sent to.
 * @throws {ApiError} INVALID_CREDENTIALS as {@link logInExternally}
 */
export async function grantCode(
  services: Services,
  identity: ExternalIdentity,
  client: { readonly redirect_uri: string; readonly code_challenge: string | null },
): Promise<string> {
  const code = randomToken();
  const grant = {
    ...accountOf(services, identity),
    p_code_hash: digestOf(code),
    p_redirect_uri: client.redirect_uri,
    ...(client.code_challenge !== null && { p_code_challenge: client.code_challenge }),
  };
  await callDatabase(() => services.database.rpc('issue_oauth_code', grant));
  return code;
}

/** The PKCE challenge a verifier answers (RFC 7636, §4.6). */
const challengeOf = (verifier: string) => createHash('sha256').update(verifier).digest('base64url');

/**
 * Swaps a code for a session. It is used up by that, whether it was good or not.
 * @throws {ApiError} INVALID_GRANT
 */
export async function swapCode(
  services: Services,
  request: FastifyRequest,
  { code, code_verifier, redirect_uri }: Static<typeof SwapCodeSchema>,
): Promise<StartedSession> {
  const { refreshToken, p_session } = newSession(services, request);
  const swap = {
    p_code_hash: digestOf(code),
    p_session,
    ...(code_verifier !== undefined && { p_code_challenge: challengeOf(code_verifier) }),
    ...(redirect_uri !== undefined && { p_redirect_uri: redirect_uri }),
  };
  const answer = swapOf(await callDatabase(() => services.database.rpc('exchange_oauth_code', swap)));
  if (!answer.granted) throw new ApiError('INVALID_GRANT');
  return { opened: answer, refreshToken };
}
