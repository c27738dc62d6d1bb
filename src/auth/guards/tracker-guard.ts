import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from '../../platform/errors.js';
import { hasLifetimeWithin, LifetimeSchema, SubjectSchema } from '../tokens/claims.js';
import { verifyClientToken } from '../tokens/client-tokens.js';
import { parseBearerToken, requireBearer } from './bearer.js';

const TrackerClaimsSchema = Type.Object({ aud: Type.Literal('tracker'), sub: SubjectSchema });
const trackerClaims = TypeCompiler.Compile(Type.Composite([TrackerClaimsSchema, LifetimeSchema]));
const LIFETIME_SECONDS = 30 * 24 * 60 * 60;
const TRACKED_USER = 'trackedUser';

/**
 * Signs a tracker's bearer token, valid for 30 days. Whoever knows an address can have one,
 * so it names the account by its id only and counts for it, nothing more.
 */
export function signTrackerToken(app: FastifyInstance, userId: string): string {
  const claims: Static<typeof TrackerClaimsSchema> = { aud: 'tracker', sub: userId };
  return app.jwt.sign(claims, { expiresIn: LIFETIME_SECONDS });
}

/** Returns the id of the account a guarded request counts for; whether it still exists is checked with the effect. */
export function getTrackedUser(request: FastifyRequest): string {
  return request.getDecorator<string>(TRACKED_USER);
}

function verifyClaims(app: FastifyInstance, token: string): unknown {
  try {
    return verifyClientToken(app, token);
  } catch (error) {
    throw new ApiError('TRACKER_TOKEN_INVALID', { cause: error });
  }
}

/** Returns the account a token counts for. @throws {ApiError} TRACKER_TOKEN_INVALID for every token that is no tracker's */
function verifyTrackerToken(app: FastifyInstance, token: string): string {
  const claims = verifyClaims(app, token);
  if (trackerClaims.Check(claims) && hasLifetimeWithin(claims, LIFETIME_SECONDS)) return claims.sub;
  throw new ApiError('TRACKER_TOKEN_INVALID');
}

/** Guards every route of the scope: without a bearer token 401, with one that is no tracker's 403, as contract 2 says. */
export function requireTracker(scope: FastifyInstance): void {
  requireBearer<string>(scope, {
    scheme: 'trackerToken',
    decorator: TRACKED_USER,
    authenticate: (request) => verifyTrackerToken(scope, parseBearerToken(request)),
  });
}
