import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { FastifyInstance } from 'fastify';
import { ApiError } from '../errors.js';
import { SubjectSchema } from './claim-schemas.js';
import { verifiedClaims } from './client-tokens.js';
import type { UserIdentity } from './user-identity.js';

const Time = Type.Integer({ minimum: 0 });
const UserClaimsSchema = Type.Object({ aud: Type.Literal('user'), sub: SubjectSchema, sid: SubjectSchema });
const IssuedClaimsSchema = Type.Composite([UserClaimsSchema, Type.Object({ iat: Time, exp: Time })]);
const claimsOfUser = TypeCompiler.Compile(IssuedClaimsSchema);

/** How far the clocks of two servers may be apart, in seconds. */
const CLOCK_SKEW_SECONDS = 60;

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
 * Who an access token is about.
 * @param lifetimeSeconds longest life a token may claim: one that claims more was not made here, or under settings
 *   that hold no more
 * @throws {ApiError} INVALID_TOKEN
 */
export function userOfToken(app: FastifyInstance, token: string, lifetimeSeconds: number): UserIdentity {
  const claims = verifiedClaims(app, token);
  if (!claimsOfUser.Check(claims)) throw new ApiError('INVALID_TOKEN');
  const issuedAhead = claims.iat - Date.now() / 1_000;
  if (claims.exp - claims.iat > lifetimeSeconds || issuedAhead > CLOCK_SKEW_SECONDS) {
    throw new ApiError('INVALID_TOKEN');
  }
  return { id: claims.sub, session_id: claims.sid };
}
