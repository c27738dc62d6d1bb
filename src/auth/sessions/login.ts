import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { normalizeEmail } from '../email.js';
import { toNetwork, toRateLimitKey } from '../limits/address.js';
import type { AccountNotices } from '../notices.js';
import { getPasswords } from '../passwords.js';
import { finishSignIn } from '../second-factor/finish-sign-in.js';
import type { SignUp } from '../sign-up/sign-up.js';
import { sha256Hex } from '../tokens/crypto.js';
import type { LoginSchema } from './schemas.js';
import {
  OpenedSessionSchema,
  requireOpened,
  type Sessions,
  SignInOutcomeSchema,
  type StartedSession,
} from './sessions.js';

/** Dependencies of registering and logging in. */
export interface LoginOptions {
  readonly database: Database;
  readonly sessions: Sessions;
  readonly signUp: SignUp;
  /** Where clients reach the server, for links in mails. */
  readonly publicUrl: string;
  readonly notices: AccountNotices;
}

const NullableText = Type.Union([Type.String(), Type.Null()]);
const LoginAttemptSchema = Type.Union([
  Type.Object({ allowed: Type.Literal(false), retry_after: Type.Integer() }),
  Type.Object({
    allowed: Type.Literal(true),
    user_id: NullableText,
    password_hash: NullableText,
    changed_at: NullableText,
  }),
]);
const RefreshedSchema = Type.Union([
  Type.Composite([Type.Object({ outcome: Type.Literal('refreshed') }), OpenedSessionSchema]),
  Type.Object({ outcome: Type.Union([Type.Literal('unknown'), Type.Literal('reused')]) }),
]);

/**
 * Logs a person in; an unknown address takes as long as a wrong password, and no code is looked at before the password.
 * @throws {ApiError} INVALID_CREDENTIALS, RATE_LIMITED before any hashing; SECOND_FACTOR_REQUIRED and
 *   INVALID_SECOND_FACTOR after the right password
 */
export async function logIn(
  options: LoginOptions,
  request: FastifyRequest,
  credentials: Static<typeof LoginSchema>,
): Promise<StartedSession> {
  const { database, sessions, notices } = options;
  const p_address = toRateLimitKey(request);
  const subject = { p_email: normalizeEmail(credentials.email), p_address };
  const attempt = await database.call('begin_user_login', subject, LoginAttemptSchema);
  if (!attempt.allowed) throw new ApiError('RATE_LIMITED', { extras: { retry_after: attempt.retry_after } });

  const { user_id: p_user_id, password_hash, changed_at: p_changed_at } = attempt;
  const passwords = getPasswords(request.server);
  const matches = await passwords.verify(password_hash, credentials.password, toNetwork(request));
  if (!matches || p_user_id === null || password_hash === null || p_changed_at === null) {
    throw new ApiError('INVALID_CREDENTIALS');
  }
  const prepared = sessions.prepare(request);
  const isOutdated = passwords.isOutdated(password_hash);
  const rehashed = isOutdated && { p_rehashed: await passwords.hash(credentials.password, toNetwork(request)) };
  const finish = { p_user_id, p_changed_at, p_address, ...rehashed };
  const outcome = await notices.postForSession(request.ip, prepared.p_session, (session) =>
    database.call('finish_user_login', { ...finish, p_session: session }, SignInOutcomeSchema),
  );
  const { totp } = credentials;
  if (outcome.outcome === 'opened' || totp === undefined) return requireOpened(outcome, prepared);
  return finishSignIn(options, request, prepared.challenge, totp);
}

/**
 * Exchanges a refresh token for its successor, also again while nobody has used that one: the answer was lost. A token
 * that comes back after that ends its session, as one of its two holders is a thief (RFC 9700, §4.14.2).
 * @throws {ApiError} INVALID_TOKEN
 */
export async function refresh({ database, sessions }: LoginOptions, refreshToken: string): Promise<StartedSession> {
  const successor = sessions.deriveSuccessor(refreshToken);
  const exchange = {
    p_token_hash: sha256Hex(refreshToken),
    p_successor_hash: sha256Hex(successor),
    p_lifetime_seconds: sessions.lifetimeSeconds,
  };
  const result = await database.call('refresh_session', exchange, RefreshedSchema);
  if (result.outcome !== 'refreshed') throw new ApiError('INVALID_TOKEN');
  return { opened: result, refreshToken: successor };
}
