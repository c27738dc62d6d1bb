import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { FastifyInstance } from 'fastify';
import type { Caller } from '../../platform/database/client/caller.js';
import { ApiError } from '../../platform/errors.js';
import { hasLifetimeWithin, LifetimeSchema, SubjectSchema } from './claims.js';
import { verifyClientToken } from './client-tokens.js';
import { createWrongKindError } from './wrong-kind.js';

const UserClaimsSchema = Type.Object({ aud: Type.Literal('user'), sub: SubjectSchema, sid: SubjectSchema });
const userClaims = TypeCompiler.Compile(Type.Composite([UserClaimsSchema, LifetimeSchema]));

/** Signs the access token of a session, good for that many seconds unless the session ends before. */
export function signUserToken(
  app: FastifyInstance,
  user: { readonly id: string; readonly session_id: string },
  lifetimeSeconds: number,
): string {
  const claims: Static<typeof UserClaimsSchema> = { aud: 'user', sub: user.id, sid: user.session_id };
  return app.jwt.sign(claims, { expiresIn: lifetimeSeconds });
}

/**
 * Returns when an access token expires, in milliseconds since 1970.
 * @throws {ApiError} INVALID_TOKEN
 */
export function readUserTokenEnd(app: FastifyInstance, token: string): number {
  const claims = verifyClientToken(app, token);
  if (userClaims.Check(claims)) return claims.exp * 1_000;
  throw new ApiError('INVALID_TOKEN');
}

/**
 * Verifies an access token and returns the person it was given to.
 * @param lifetimeSeconds longest life a token may claim
 * @throws {ApiError} INVALID_TOKEN
 */
export function verifyUserToken(app: FastifyInstance, token: string, lifetimeSeconds: number): Caller {
  const claims = verifyClientToken(app, token);
  if (userClaims.Check(claims) && hasLifetimeWithin(claims, lifetimeSeconds)) {
    return { id: claims.sub, session_id: claims.sid };
  }
  throw createWrongKindError(claims, 'user');
}
