import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from '../../platform/errors.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { parseBearerToken } from '../tokens/bearer-token.js';
import { SubjectSchema } from '../tokens/claim-schemas.js';
import { verifyClientToken } from '../tokens/client-tokens.js';
import { hasLifetimeWithin, LifetimeSchema } from '../tokens/token-lifetime.js';

const TrackerClaimsSchema = Type.Object({ aud: Type.Literal('tracker'), sub: SubjectSchema });
const trackerClaims = TypeCompiler.Compile(Type.Composite([TrackerClaimsSchema, LifetimeSchema]));
const LIFETIME_SECONDS = 30 * 24 * 60 * 60;

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
  return request.getDecorator<string>('trackedUser');
}

/** Returns the account a token counts for. @throws {ApiError} TRACKER_TOKEN_INVALID for every token that is no tracker's */
function verifyTrackerToken(app: FastifyInstance, token: string): string {
  const claims = verifyClaims(app, token);
  if (trackerClaims.Check(claims) && hasLifetimeWithin(claims, LIFETIME_SECONDS)) return claims.sub;
  throw new ApiError('TRACKER_TOKEN_INVALID');
}

function verifyClaims(app: FastifyInstance, token: string): unknown {
  try {
    return verifyClientToken(app, token);
  } catch (error) {
    throw new ApiError('TRACKER_TOKEN_INVALID', { cause: error });
  }
}

/** Guards every route of the scope: without a bearer token 401, with one that is no tracker's 403, as contract 2 says. */
export function requireTracker(scope: FastifyInstance): void {
  describeRoutes(scope, { security: [{ trackerToken: [] }] });
  scope.decorateRequest('trackedUser');
  scope.addHook('onRequest', async (request) => {
    request.setDecorator<string>('trackedUser', verifyTrackerToken(scope, parseBearerToken(request)));
  });
}
