import type { GoogleAccessTokens } from '../../auth/google-access-tokens.js';
import type { Caller } from '../../platform/database/client/caller.js';
import { AnyResult, type Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import type { Chat } from './chat.js';
import type { Hold, Reservation } from './chat-meter.js';

/** What finding out who pays takes. */
export interface PayerServices {
  readonly database: Database;
  readonly googleAccessTokens: GoogleAccessTokens;
  /** Tokens a new account starts with. */
  readonly defaultUserTokens: number;
}

/** Takes a hold from the balance of whoever pays. */
export type Reserve = (reservation: Reservation) => Promise<Hold>;

/** The person of a Google access token pays; their account is made the first time, as by `POST /auth/google`. */
async function reserveForGoogle(services: PayerServices, chat: Chat, accessToken: string): Promise<Reserve> {
  const identity = await services.googleAccessTokens.verify(accessToken);
  const payer = { google_subject: identity.subject };
  return async (reservation) => {
    try {
      return await chat.meter.reserve(payer, reservation);
    } catch (error) {
      if (!(error instanceof ApiError && error.code === 'USER_NOT_FOUND')) throw error;
      const account = { p_identity: identity, p_default_tokens: services.defaultUserTokens };
      await services.database.call('user_of_google', account, AnyResult);
      return chat.meter.reserve(payer, reservation);
    }
  };
}

/**
 * Finds out who pays for a request: the person of its bearer token, or of the Google access token in its body.
 * @throws {ApiError} MISSING_TOKEN, INVALID_ACCESS_TOKEN, GOOGLE_DISABLED
 */
export async function payerOf(
  services: PayerServices,
  chat: Chat,
  user: Caller | undefined,
  accessToken: string | undefined,
): Promise<Reserve> {
  if (user !== undefined) return (reservation) => chat.meter.reserve(user, reservation);
  if (accessToken === undefined) throw new ApiError('MISSING_TOKEN');
  return reserveForGoogle(services, chat, accessToken);
}
