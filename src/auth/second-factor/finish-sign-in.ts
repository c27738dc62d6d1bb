import { Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import type { AccountNotices } from '../notices.js';
import { OpenedOutcomeSchema, type Sessions, type StartedSession } from '../sessions/sessions.js';
import { sha256Hex } from '../tokens/crypto.js';
import { RefusedProofSchema, toProofError } from './outcomes.js';
import { proveWith, UserFactorSchema } from './user-proof.js';

/** Dependencies of finishing sign-ins. */
export interface FinishSignInOptions {
  readonly database: Database;
  readonly sessions: Sessions;
  readonly notices: AccountNotices;
}

const FoundChallengeSchema = Type.Object({ factor: Type.Union([UserFactorSchema, Type.Null()]) });
const FinishedSignInSchema = Type.Union([
  OpenedOutcomeSchema,
  Type.Object({ outcome: Type.Literal('ended') }),
  RefusedProofSchema,
]);

/**
 * Opens the session a sign-in waits for, against a code of the second factor.
 * @param challenge what the sign-in was answered
 * @throws {ApiError} INVALID_CHALLENGE, INVALID_SECOND_FACTOR, RATE_LIMITED
 * @throws {DatabaseError} ACCOUNT_SUSPENDED
 */
export async function finishSignIn(
  { database, sessions, notices }: FinishSignInOptions,
  request: FastifyRequest,
  challenge: string,
  code: string,
): Promise<StartedSession> {
  const p_challenge_hash = sha256Hex(challenge);
  const { factor } = await database.call('find_sign_in_challenge', { p_challenge_hash }, FoundChallengeSchema);
  if (factor === null) throw new ApiError('INVALID_CHALLENGE');
  const { refreshToken, p_session } = sessions.prepare(request);
  const result = await notices.postForSession(request.ip, p_session, (session) =>
    proveWith(notices, factor, code, (p_proof) =>
      database.call('finish_sign_in', { p_challenge_hash, p_proof, p_session: session }, FinishedSignInSchema),
    ),
  );
  if (result.outcome === 'opened') return { opened: result, refreshToken };
  throw result.outcome === 'ended' ? new ApiError('INVALID_CHALLENGE') : toProofError(result);
}
