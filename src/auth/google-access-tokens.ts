import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { FastifyRequest } from 'fastify';
import { LRUCache } from 'lru-cache';
import type { Config } from '../config/config.js';
import { ApiError } from '../platform/errors.js';
import { toRateLimitKey } from './limits/address.js';
import { WRONG_GOOGLE_TOKENS } from './limits/policies.js';
import { getLimiter } from './limits/rate-limits.js';
import { type ExternalIdentity, parseIdentity } from './oauth/external-identity.js';
import { PROVIDER_TIMEOUT_SECONDS, withProviderErrors } from './oauth/provider.js';
import { sha256Hex } from './tokens/crypto.js';

/** Tells whose Google's access tokens are, for extensions that sign people in at Google themselves. */
export interface GoogleAccessTokens {
  /**
   * Returns the person behind an access token that was issued to one of this server's clients.
   * @throws {ApiError} INVALID_ACCESS_TOKEN for one that is not good, was issued to another client, or to somebody
   *   whose address Google did not verify; RATE_LIMITED after many of those from one address; SERVICE_UNAVAILABLE
   *   where Google does not say; GOOGLE_DISABLED
   */
  readonly verify: (accessToken: string, request: FastifyRequest) => Promise<ExternalIdentity>;
}

/** Longest time a token is believed without asking again, in seconds. */
const MAX_KEPT_SECONDS = 300;
/** How long a token stays refused without asking again, in seconds. */
const REFUSED_SECONDS = 60;
const MAX_KEPT_TOKENS = 10_000;
/** What RFC 6750, §2.1 lets a bearer token be made of. */
const BEARER_TOKEN = /^[\w.~+/-]{1,4096}=*$/;

const Text = Type.Optional(Type.String());
const TokenInfoSchema = Type.Object({
  aud: Text,
  azp: Text,
  sub: Text,
  email: Text,
  email_verified: Type.Optional(Type.Union([Type.String(), Type.Boolean()])),
  expires_in: Type.Union([Type.Integer(), Type.String({ pattern: '^-?[0-9]{1,10}$' })]),
});
const UserInfoSchema = Type.Object({ sub: Type.String(), name: Text, picture: Text });

interface VerifiedToken {
  readonly identity: ExternalIdentity;
  readonly expiresInSeconds: number;
}

/** Asks Google with the token in the header, never in the URL. Redirects are not followed: they would carry it along. */
async function askGoogle<Schema extends TSchema>(
  schema: Schema,
  url: string,
  accessToken: string,
  body?: URLSearchParams,
): Promise<Static<Schema>> {
  const response = await fetch(url, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { accept: 'application/json', authorization: `Bearer ${accessToken}` },
    body: body ?? null,
    redirect: 'manual',
    signal: AbortSignal.timeout(PROVIDER_TIMEOUT_SECONDS * 1_000),
  });
  const { status } = response;
  if (status >= 400 && status < 500 && status !== 429) throw new ApiError('INVALID_ACCESS_TOKEN');
  const answer: unknown = status === 200 ? await response.json() : undefined;
  if (!Value.Check(schema, answer)) throw new Error(`answered ${status}, or not what was expected`);
  return answer;
}

type GoogleConfig = NonNullable<Config['signIn']['googleAccessTokens']>;

async function verifyAtGoogle(config: GoogleConfig, accessToken: string): Promise<VerifiedToken> {
  const form = new URLSearchParams({ access_token: accessToken });
  const token = await askGoogle(TokenInfoSchema, config.tokenInfoUrl, accessToken, form);
  const expiresInSeconds = Number(token.expires_in);
  const isOurs = config.clientIds.some((clientId) => clientId === token.aud || clientId === token.azp);
  const isGood = isOurs && expiresInSeconds > 0;
  if (!isGood || parseIdentity('google', token) === undefined) throw new ApiError('INVALID_ACCESS_TOKEN');
  const { sub, name, picture } = await askGoogle(UserInfoSchema, config.userInfoUrl, accessToken);
  const identity = parseIdentity('google', { ...token, name, picture });
  // OpenID Connect Core, §5.3.2: a profile with another subject must not be used.
  if (identity === undefined || identity.subject !== sub) throw new ApiError('INVALID_ACCESS_TOKEN');
  return { identity, expiresInSeconds };
}

/**
 * Builds the check of Google's access tokens. A good one is remembered by its SHA-256 until it expires, 5 minutes at
 * most; a bad one for a minute. Requests that bring the same token at once share one question, and only so many
 * questions of an address may be answered with no.
 */
export function createGoogleAccessTokens(config: GoogleConfig | undefined): GoogleAccessTokens {
  const identities = new LRUCache<string, ExternalIdentity, () => Promise<VerifiedToken>>({
    max: MAX_KEPT_TOKENS,
    ttl: MAX_KEPT_SECONDS * 1_000,
    ignoreFetchAbort: true,
    fetchMethod: async (_digest, _stale, { context, options }) => {
      const { identity, expiresInSeconds } = await context();
      options.ttl = Math.min(expiresInSeconds, MAX_KEPT_SECONDS) * 1_000;
      return identity;
    },
  });
  const refused = new LRUCache<string, true>({ max: MAX_KEPT_TOKENS, ttl: REFUSED_SECONDS * 1_000 });
  return {
    verify: async (accessToken, request) => {
      if (config === undefined) throw new ApiError('GOOGLE_DISABLED');
      if (!BEARER_TOKEN.test(accessToken)) throw new ApiError('INVALID_ACCESS_TOKEN');
      const digest = sha256Hex(accessToken);
      if (refused.has(digest)) throw new ApiError('INVALID_ACCESS_TOKEN');
      const context = () =>
        getLimiter(request.server).attempt(WRONG_GOOGLE_TOKENS, toRateLimitKey(request), () =>
          withProviderErrors('Google', () => verifyAtGoogle(config, accessToken)),
        );
      try {
        return await identities.forceFetch(digest, { context });
      } catch (error) {
        if (error instanceof ApiError && error.code === 'INVALID_ACCESS_TOKEN') refused.set(digest, true);
        throw error;
      }
    },
  };
}
