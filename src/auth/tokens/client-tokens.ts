import jwt, { type FastifyJWTOptions } from '@fastify/jwt';
import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import { LRUCache } from 'lru-cache';
import { ApiError } from '../../platform/errors.js';
import { looksLikeApiKey } from '../api-keys/api-key.js';

const ISSUER = 'tokenledger';
const VERIFIED_TOKENS_KEPT = 10_000;
const VERIFIERS = 'clientTokenVerifiers';
const VERIFIED = 'verifiedClientTokens';

/** The claims of tokens that were found good, by the token: looking one up costs no hash of ours. */
type VerifiedTokens = LRUCache<string, Verified>;
interface Verified {
  readonly claims: object;
  /** In milliseconds since 1970. */
  readonly expiresAt: number;
}

/** Returns the claims of a token that was signed with one certain secret; throws for any other. */
type Verifier = (token: string) => object;

const toOptions = (secret: string): FastifyJWTOptions => ({
  secret,
  sign: { algorithm: 'HS256', iss: ISSUER },
  verify: {
    algorithms: ['HS256'],
    checkTyp: 'JWT',
    allowedIss: ISSUER,
    requiredClaims: ['iss', 'aud', 'sub', 'iat', 'exp'],
  },
});

const clientTokens: FastifyPluginAsync<{ secrets: readonly string[] }> = async (app, { secrets }) => {
  const [first = '', ...earlier] = secrets;
  const verifiers: Verifier[] = [(token) => app.jwt.verify<object>(token)];
  for (const secret of earlier) {
    // A scope of its own, as an application signs with one secret only.
    await app.register(async (scope) => {
      await scope.register(jwt, toOptions(secret));
      verifiers.push((token) => scope.jwt.verify<object>(token));
    });
  }
  await app.register(jwt, toOptions(first));
  app.decorate(VERIFIERS, verifiers);
  app.decorate(VERIFIED, new LRUCache<string, Verified>({ max: VERIFIED_TOKENS_KEPT }));
};

/**
 * Signs client tokens with the first of the server's secrets and verifies them with all, with one algorithm and issuer.
 * Guards check the audience. Client tokens mean nothing to the Data API.
 */
export default fp(clientTokens, { name: 'client-tokens' });

/** Returns when verified claims expire; at once where they do not say. */
const readExpiry = (claims: object): number =>
  'exp' in claims && typeof claims.exp === 'number' ? claims.exp * 1_000 : 0;

/** Returns whether a token's signature is spelt the one way: the bits base64url leaves over must not make another token of it. */
function isCanonical(token: string): boolean {
  const signature = token.slice(token.lastIndexOf('.') + 1);
  return Buffer.from(signature, 'base64url').toString('base64url') === signature;
}

/**
 * Verifies a client token's signature, issuer and lifetime and returns its claims; the audience is the guard's to check.
 * @throws {ApiError} INVALID_TOKEN
 */
export function verifyClientToken(app: FastifyInstance, token: string): unknown {
  // Only that it is ours is remembered; whether a token is still wanted is asked of its row every time.
  const verified = app.getDecorator<VerifiedTokens>(VERIFIED);
  const known = verified.get(token);
  if (known !== undefined && known.expiresAt > Date.now()) return known.claims;
  if (looksLikeApiKey(token)) throw new ApiError('INVALID_TOKEN', { sentence: 'An API key does not open this' });
  if (!isCanonical(token)) throw new ApiError('INVALID_TOKEN');
  let cause: unknown;
  for (const verify of app.getDecorator<readonly Verifier[]>(VERIFIERS)) {
    try {
      const claims = verify(token);
      verified.set(token, { claims, expiresAt: readExpiry(claims) });
      return claims;
    } catch (error) {
      cause ??= error;
    }
  }
  throw new ApiError('INVALID_TOKEN', { cause });
}
