import { createHash } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { AnyResult, type Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import type { AccountNotices } from '../notices.js';
import { requireOpened, type Sessions, SignInOutcomeSchema, type StartedSession } from '../sessions/sessions.js';
import { type SignUp, toSignUpArguments } from '../sign-up/sign-up.js';
import { createOpaqueToken, sha256Hex } from '../tokens/crypto.js';
import type { ExternalIdentity } from './external-identity.js';
import type { ExchangeCodeSchema } from './schemas.js';

const ExchangedCodeSchema = Type.Union([SignInOutcomeSchema, Type.Object({ granted: Type.Literal(false) })]);

/** Dependencies of signing in with a provider. */
export interface SignInOptions {
  readonly database: Database;
  readonly sessions: Sessions;
  readonly signUp: SignUp;
  readonly notices: AccountNotices;
}

/** Returns the arguments for the account an identity opens, or is created for. */
const toAccount = ({ signUp }: SignInOptions, identity: ExternalIdentity) => ({
  p_identity: identity,
  ...toSignUpArguments(signUp),
});

/**
 * Opens a session for somebody who signed in with a provider.
 * @throws {ApiError} INVALID_CREDENTIALS where their address belongs to another person of that provider;
 *   SIGNUP_CLOSED or INVITATION_REQUIRED for somebody new; SECOND_FACTOR_REQUIRED
 */
export async function signInWithProvider(
  options: SignInOptions,
  request: FastifyRequest,
  identity: ExternalIdentity,
): Promise<StartedSession> {
  const prepared = options.sessions.prepare(request);
  const account = toAccount(options, identity);
  const outcome = await options.notices.postForSession(request.ip, prepared.p_session, (session) =>
    options.database.call('sign_in_with_provider', { ...account, p_session: session }, SignInOutcomeSchema),
  );
  return requireOpened(outcome, prepared);
}

/**
 * Makes a code that can be exchanged for a session within 2 minutes, by whoever it was sent to.
 * @throws {ApiError} INVALID_CREDENTIALS as {@link signInWithProvider}
 */
export async function issueCode(
  options: SignInOptions,
  identity: ExternalIdentity,
  client: { readonly redirect_uri: string; readonly code_challenge: string | null },
): Promise<string> {
  const code = createOpaqueToken();
  const grant = {
    ...toAccount(options, identity),
    p_code_hash: sha256Hex(code),
    p_redirect_uri: client.redirect_uri,
    ...(client.code_challenge !== null && { p_code_challenge: client.code_challenge }),
  };
  await options.database.call('issue_oauth_code', grant, AnyResult);
  return code;
}

/** Derives the PKCE challenge of a verifier (RFC 7636, §4.6). */
const deriveChallenge = (verifier: string) => createHash('sha256').update(verifier).digest('base64url');

/**
 * Exchanges a code for a session. It is used up by that, whether it was good or not.
 * @throws {ApiError} INVALID_GRANT, SECOND_FACTOR_REQUIRED
 */
export async function exchangeCode(
  options: SignInOptions,
  request: FastifyRequest,
  { code, code_verifier, redirect_uri }: Static<typeof ExchangeCodeSchema>,
): Promise<StartedSession> {
  const prepared = options.sessions.prepare(request);
  const swap = {
    p_code_hash: sha256Hex(code),
    ...(code_verifier !== undefined && { p_code_challenge: deriveChallenge(code_verifier) }),
    ...(redirect_uri !== undefined && { p_redirect_uri: redirect_uri }),
  };
  const answer = await options.notices.postForSession(request.ip, prepared.p_session, (session) =>
    options.database.call('exchange_oauth_code', { ...swap, p_session: session }, ExchangedCodeSchema),
  );
  if (!('outcome' in answer)) throw new ApiError('INVALID_GRANT');
  return requireOpened(answer, prepared);
}
