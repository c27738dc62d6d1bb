import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { FastifyInstance } from 'fastify';
import { ApiError } from '../../platform/errors.js';
import type { UserIdentity } from '../guards/user-identity.js';
import { SubjectSchema } from './claim-schemas.js';
import { verifiedClaims } from './client-tokens.js';
import { hasLifetimeWithin, LifetimeSchema } from './token-lifetime.js';

const UserClaimsSchema = Type.Object({ aud: Type.Literal('user'), sub: SubjectSchema, sid: SubjectSchema });
const claimsOfUser = TypeCompiler.Compile(Type.Composite([UserClaimsSchema, LifetimeSchema]));

/** Makes the access token of a session, good for that many seconds unless the session ends before. */
export function issueUserToken(
  app: FastifyInstance,
  user: { readonly id: string; readonly session_id: string },
  lifetimeSeconds: number,
): string {
  const claims: Static<typeof UserClaimsSchema> = { aud: 'user', sub: user.id, sid: user.session_id };
  return app.jwt.sign(claims, { expiresIn: lifetimeSeconds });
}

/**
 * When an access token is over, in milliseconds since 1970.
 * @throws {ApiError} INVALID_TOKEN
 */
export function endOfUserToken(app: FastifyInstance, token: string): number {
  const claims = verifiedClaims(app, token);
  if (claimsOfUser.Check(claims)) return claims.exp * 1_000;
  throw new ApiError('INVALID_TOKEN');
}

/**
 * Who an access token is about.
 * @param lifetimeSeconds longest life a token may claim
 * @throws {ApiError} INVALID_TOKEN
 */
export function userOfToken(app: FastifyInstance, token: string, lifetimeSeconds: number): UserIdentity {
  const claims = verifiedClaims(app, token);
  if (claimsOfUser.Check(claims) && hasLifetimeWithin(claims, lifetimeSeconds)) {
    return { id: claims.sub, session_id: claims.sid };
  }
  throw new ApiError('INVALID_TOKEN');
}
