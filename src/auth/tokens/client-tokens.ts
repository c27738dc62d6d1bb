import jwt from '@fastify/jwt';
import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import { ApiError } from '../../platform/errors.js';

const ISSUER = 'tokenledger';
const VERIFIED_TOKENS_KEPT = 10_000;

const clientTokens: FastifyPluginAsync<{ secret: string }> = async (app, { secret }) => {
  await app.register(jwt, {
    secret,
    sign: { algorithm: 'HS256', iss: ISSUER },
    verify: {
      algorithms: ['HS256'],
      checkTyp: 'JWT',
      allowedIss: ISSUER,
      requiredClaims: ['iss', 'aud', 'sub', 'iat', 'exp'],
      // Only the signature check is remembered; whether a token is still wanted is asked of its row every time.
      cache: VERIFIED_TOKENS_KEPT,
      errorCacheTTL: 0,
    },
  });
};

/**
 * Signs and verifies client tokens with one algorithm and issuer. Guards check the audience.
 * Client tokens mean nothing to the Data API.
 */
export default fp(clientTokens, { name: 'client-tokens' });

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
  if (!isCanonical(token)) throw new ApiError('INVALID_TOKEN');
  try {
    return app.jwt.verify<object>(token);
  } catch (error) {
    throw new ApiError('INVALID_TOKEN', { cause: error });
  }
}
