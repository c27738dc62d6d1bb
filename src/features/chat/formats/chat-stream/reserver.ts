import type { FastifyReply, FastifyRequest } from 'fastify';
import type { GoogleAccessTokens } from '../../../../auth/google-access-tokens.js';
import { getOptionalUser } from '../../../../auth/guards/user-guard.js';
import { admit } from '../../../../auth/limits/rate-limits.js';
import { type SignUp, toSignUpArguments } from '../../../../auth/sign-up/sign-up.js';
import { sha256Hex } from '../../../../auth/tokens/crypto.js';
import { AnyResult, type Database } from '../../../../platform/database/client/database.js';
import { ApiError } from '../../../../platform/errors.js';
import type { ChatMeter } from '../../metering/chat-meter.js';
import { toPayingSubject } from '../../metering/limited-meter.js';
import type { CompletionJob } from '../../request/completion-job.js';

/** What finding out who pays takes. */
export interface ReserverServices {
  readonly database: Database;
  readonly googleAccessTokens: GoogleAccessTokens;
  readonly signUp: SignUp;
}

type Reserve = CompletionJob['reserve'];

/** Debits the owner of a Google access token; their account is created the first time, as by `POST /auth/google`. */
async function createGoogleReserver(
  services: ReserverServices,
  meter: ChatMeter,
  accessToken: string,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<Reserve> {
  const identity = await services.googleAccessTokens.verify(accessToken, request);
  const p_token_hash = sha256Hex(accessToken);
  const payer = { google_subject: identity.subject, google_token_hash: p_token_hash };
  await admit(request, reply, [toPayingSubject(payer)]);
  return async (reservation) => {
    try {
      return await meter.reserve(payer, reservation);
    } catch (error) {
      if (!(error instanceof ApiError && error.code === 'USER_NOT_FOUND')) throw error;
      const account = { p_identity: identity, ...toSignUpArguments(services.signUp), p_token_hash };
      await services.database.call('find_google_user', account, AnyResult);
      return meter.reserve(payer, reservation);
    }
  };
}

/**
 * Returns the function that takes a hold from the balance of whoever pays: the user of the request's bearer token, or
 * the owner of the Google access token in its body.
 * @throws {ApiError} MISSING_TOKEN, INVALID_ACCESS_TOKEN, RATE_LIMITED, GOOGLE_DISABLED
 */
export async function createReserver(
  services: ReserverServices,
  meter: ChatMeter,
  accessToken: string | undefined,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<Reserve> {
  const user = getOptionalUser(request);
  if (user !== undefined) return (reservation) => meter.reserve(user, reservation);
  if (accessToken === undefined) throw new ApiError('MISSING_TOKEN');
  return createGoogleReserver(services, meter, accessToken, request, reply);
}
