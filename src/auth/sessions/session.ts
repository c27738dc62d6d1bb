import { createHmac } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { secondsOf } from '../../config/config.js';
import { shapeOf } from '../../platform/database/client/shape.js';
import type { Services } from '../../services.js';
import { deriveKey } from '../tokens/derived-key.js';
import { digestOf, randomToken } from '../tokens/opaque-token.js';
import { issueUserToken } from '../tokens/user-tokens.js';
import { type SessionAnswerSchema, UserSchema } from './schemas.js';

/** What SQL answers when a session was opened or continued. */
export const OpenedSessionSchema = Type.Object({ session_id: Type.String(), user: UserSchema });
export type OpenedSession = Static<typeof OpenedSessionSchema>;
export const openedSessionOf = shapeOf(OpenedSessionSchema);

/** How long a session lasts without being refreshed, in seconds. */
export function sessionSeconds({ config }: Services): number {
  return secondsOf(config.JWT_REFRESH_EXPIRES_IN);
}

/**
 * Prepares a session: its first refresh token, and what SQL's `open_session` is given of it, which does not include
 * the token itself.
 */
export function newSession(services: Services, request: FastifyRequest) {
  const refreshToken = randomToken();
  const p_session = {
    refresh_hash: digestOf(refreshToken),
    lifetime_seconds: sessionSeconds(services),
    user_agent: request.headers['user-agent'] ?? null,
    address: request.ip,
  };
  return { refreshToken, p_session };
}

/**
 * The token a refresh token is exchanged for. It follows from the token and the server's secret alone, so that requests
 * which carry the same token at once are all given the same successor, though the database knows only its digest.
 */
export function successorOf(services: Services, refreshToken: string): string {
  return createHmac('sha256', deriveKey(services.secret, 'refresh tokens')).update(refreshToken).digest('base64url');
}

/** What a log-in answers: an access token, the refresh token, and whose they are. */
export function sessionAnswer(
  app: FastifyInstance,
  { config }: Services,
  opened: OpenedSession,
  refreshToken: string,
): Static<typeof SessionAnswerSchema> {
  const seconds = secondsOf(config.JWT_EXPIRES_IN);
  const token = issueUserToken(app, { id: opened.user.id, session_id: opened.session_id }, seconds);
  return { token, refresh_token: refreshToken, expires_in: seconds, user: opened.user };
}
