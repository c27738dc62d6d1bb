import { type Static, Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { callDatabase } from '../../platform/database/client/client.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import { ApiError } from '../../platform/errors.js';
import type { Services } from '../../services.js';
import { toNetwork } from '../limits/address.js';
import { hashNewPassword, verifyPassword } from '../passwords.js';
import { digestOf } from '../tokens/opaque-token.js';
import { type LoginSchema, normalEmail, type RegisterSchema } from './schemas.js';
import {
  newSession,
  type OpenedSession,
  OpenedSessionSchema,
  openedSessionOf,
  sessionSeconds,
  successorOf,
} from './session.js';

/** A session with the only copy of its refresh token. */
export interface StartedSession {
  readonly opened: OpenedSession;
  readonly refreshToken: string;
}

const NullableText = Type.Union([Type.String(), Type.Null()]);
const attemptOf = shapeOf(
  Type.Union([
    Type.Object({ allowed: Type.Literal(false), retry_after: Type.Integer() }),
    Type.Object({ allowed: Type.Literal(true), user_id: NullableText, password_hash: NullableText }),
  ]),
);
const refreshOf = shapeOf(
  Type.Union([
    Type.Composite([Type.Object({ outcome: Type.Literal('refreshed') }), OpenedSessionSchema]),
    Type.Object({ outcome: Type.Union([Type.Literal('unknown'), Type.Literal('reused')]) }),
  ]),
);

/**
 * Creates an account and logs it in.
 * @throws {ApiError} EMAIL_TAKEN, PASSWORD_TOO_COMMON
 */
export async function register(
  services: Services,
  request: FastifyRequest,
  account: Static<typeof RegisterSchema>,
): Promise<StartedSession> {
  const { refreshToken, p_session } = newSession(services, request);
  const p_password_hash = await hashNewPassword(account.password);
  const opened = await callDatabase(() =>
    services.database.rpc('register_user', {
      p_email: normalEmail(account.email),
      p_password_hash,
      p_default_tokens: services.config.DEFAULT_USER_TOKENS,
      p_session,
      ...(account.name !== undefined && { p_name: account.name.trim() }),
    }),
  );
  return { opened: openedSessionOf(opened), refreshToken };
}

/**
 * Logs a person in; an unknown address takes as long as a wrong password.
 * @throws {ApiError} INVALID_CREDENTIALS, RATE_LIMITED before any hashing
 */
export async function logIn(
  services: Services,
  request: FastifyRequest,
  credentials: Static<typeof LoginSchema>,
): Promise<StartedSession> {
  const { database } = services;
  const p_address = toNetwork(request);
  const subject = { p_email: normalEmail(credentials.email), p_address };
  const attempt = attemptOf(await callDatabase(() => database.rpc('begin_user_login', subject)));
  if (!attempt.allowed) throw new ApiError('RATE_LIMITED', { extras: { retry_after: attempt.retry_after } });

  const { user_id: p_user_id, password_hash: p_password_hash } = attempt;
  const matches = await verifyPassword(p_password_hash, credentials.password);
  if (!matches || p_user_id === null || p_password_hash === null) throw new ApiError('INVALID_CREDENTIALS');
  const { refreshToken, p_session } = newSession(services, request);
  const finish = { p_user_id, p_password_hash, p_address, p_session };
  const opened = openedSessionOf(await callDatabase(() => database.rpc('finish_user_login', finish)));
  return { opened, refreshToken };
}

/**
 * Exchanges a refresh token for its successor. One that was exchanged before ends its session, as one of its two
 * holders is a thief (RFC 9700, §4.14.2).
 * @throws {ApiError} INVALID_TOKEN
 */
export async function refresh(services: Services, refreshToken: string): Promise<StartedSession> {
  const successor = successorOf(services, refreshToken);
  const exchange = {
    p_token_hash: digestOf(refreshToken),
    p_successor_hash: digestOf(successor),
    p_lifetime_seconds: sessionSeconds(services),
  };
  const answer = refreshOf(await callDatabase(() => services.database.rpc('refresh_session', exchange)));
  if (answer.outcome !== 'refreshed') throw new ApiError('INVALID_TOKEN');
  return { opened: answer, refreshToken: successor };
}
