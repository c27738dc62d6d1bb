import type { UserIdentity } from '../../auth/guards/user-identity.js';
import { callDatabase } from '../../platform/database/client/client.js';
import { ApiError } from '../../platform/errors.js';
import type { Services } from '../../services.js';
import type { Chat } from './chat.js';
import type { Hold, Reservation } from './chat-meter.js';

/** Takes a hold from the balance of whoever pays. */
export type Reserve = (reservation: Reservation) => Promise<Hold>;

/** The person of a Google access token pays; their account is made the first time, as by `POST /auth/google`. */
async function reserveForGoogle(services: Services, chat: Chat, accessToken: string): Promise<Reserve> {
  const identity = await services.googleAccessTokens.verify(accessToken);
  const payer = { google_subject: identity.subject };
  return async (reservation) => {
    try {
      return await chat.meter.reserve(payer, reservation);
    } catch (error) {
      if (!(error instanceof ApiError && error.code === 'USER_NOT_FOUND')) throw error;
      const account = { p_identity: identity, p_default_tokens: services.config.DEFAULT_USER_TOKENS };
      await callDatabase(() => services.database.rpc('find_google_user', account));
      return chat.meter.reserve(payer, reservation);
    }
  };
}

/**
 * Finds out who pays for a request: the person of its bearer token, or of the Google access token in its body.
 * @throws {ApiError} MISSING_TOKEN, INVALID_ACCESS_TOKEN, GOOGLE_DISABLED
 */
export async function payerOf(
  services: Services,
  chat: Chat,
  user: UserIdentity | undefined,
  accessToken: string | undefined,
): Promise<Reserve> {
  if (user !== undefined) return (reservation) => chat.meter.reserve(user, reservation);
  if (accessToken === undefined) throw new ApiError('MISSING_TOKEN');
  return reserveForGoogle(services, chat, accessToken);
}
