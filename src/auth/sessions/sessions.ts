import { createHmac } from 'node:crypto';
import { type Static, Type } from '@sinclair/typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Config } from '../../config/config.js';
import { ApiError } from '../../platform/errors.js';
import { toRateLimitKey } from '../limits/address.js';
import { createOpaqueToken, deriveKey, sha256Hex } from '../tokens/crypto.js';
import { signUserToken } from '../tokens/user-tokens.js';
import { UserSchema } from '../user-schema.js';
import type { SessionAnswerSchema } from './schemas.js';

/** What SQL returns when a session was opened or continued. */
export const OpenedSessionSchema = Type.Object({
  session_id: Type.String(),
  user: UserSchema,
});
export type OpenedSession = Static<typeof OpenedSessionSchema>;

/** What SQL returns where a session was opened. */
export const OpenedOutcomeSchema = Type.Composite([
  Type.Object({ outcome: Type.Literal('opened') }),
  OpenedSessionSchema,
]);
/** What SQL returns of a sign-in: a session, or that it waits for the code of a second factor. */
export const SignInOutcomeSchema = Type.Union([
  OpenedOutcomeSchema,
  Type.Object({ outcome: Type.Literal('second_factor_required') }),
]);

/** Seconds a sign-in waits for the code of a second factor. */
const CHALLENGE_SECONDS = 300;

/** A session with the only copy of its refresh token. */
export interface StartedSession {
  readonly opened: OpenedSession;
  readonly refreshToken: string;
}

/** A session that may be opened. */
export interface PreparedSession {
  readonly refreshToken: string;
  readonly challenge: string;
  readonly p_session: {
    readonly refresh_hash: string;
    readonly challenge_hash: string;
    readonly lifetime_seconds: number;
    readonly user_agent: string | null;
    readonly address: string;
    readonly network: string;
  };
}

/**
 * Returns the session a sign-in has opened.
 * @throws {ApiError} SECOND_FACTOR_REQUIRED with the `challenge` that `POST /auth/second-factor` takes with the code
 */
export function requireOpened(
  outcome: Static<typeof SignInOutcomeSchema>,
  { refreshToken, challenge }: PreparedSession,
): StartedSession {
  if (outcome.outcome === 'opened') return { opened: outcome, refreshToken };
  throw new ApiError('SECOND_FACTOR_REQUIRED', { extras: { challenge, expires_in: CHALLENGE_SECONDS } });
}

/** Makes the tokens of sessions; whether a session is good is the database's to know. */
export interface Sessions {
  /** How long a session lasts without being refreshed, in seconds. */
  readonly lifetimeSeconds: number;
  /**
   * Prepares a session: its first refresh token, what stands for the sign-in where it waits for a code, and what SQL's
   * `open_session` is given of both, which does not include them themselves.
   */
  readonly prepare: (request: FastifyRequest) => PreparedSession;
  /**
   * Derives the token a refresh token is exchanged for. It follows from the token and the server's secret alone, so that
   * requests which carry the same token at once are all given the same successor, though the database knows only its
   * digest.
   */
  readonly deriveSuccessor: (refreshToken: string) => string;
  /** Builds the answer to a log-in: an access token, the refresh token, and whose they are. */
  readonly toAnswer: (session: StartedSession) => Static<typeof SessionAnswerSchema>;
}

/**
 * Builds the maker of sessions' tokens.
 * @param secret the server's secret, to derive keys from
 */
export function createSessions(app: FastifyInstance, config: Config['tokens'], secret: string): Sessions {
  const successorKey = deriveKey(secret, 'refresh tokens');
  return {
    lifetimeSeconds: config.sessionSeconds,
    prepare: (request) => {
      const [refreshToken, challenge] = [createOpaqueToken(), createOpaqueToken()];
      const p_session = {
        refresh_hash: sha256Hex(refreshToken),
        challenge_hash: sha256Hex(challenge),
        lifetime_seconds: config.sessionSeconds,
        user_agent: request.headers['user-agent'] ?? null,
        address: request.ip,
        network: toRateLimitKey(request),
      };
      return { refreshToken, challenge, p_session };
    },
    deriveSuccessor: (refreshToken) => createHmac('sha256', successorKey).update(refreshToken).digest('base64url'),
    toAnswer: ({ opened: { user, session_id }, refreshToken }) => ({
      token: signUserToken(app, { id: user.id, session_id }, config.accessSeconds),
      refresh_token: refreshToken,
      expires_in: config.accessSeconds,
      user,
    }),
  };
}
