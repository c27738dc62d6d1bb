import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from '../../platform/errors.js';
import { bearerTokenOf } from '../tokens/bearer-token.js';
import { SubjectSchema } from '../tokens/claim-schemas.js';
import { verifiedClaims } from '../tokens/client-tokens.js';
import { hasLifetimeWithin, LifetimeSchema } from '../tokens/token-lifetime.js';

const TrackerClaimsSchema = Type.Object({ aud: Type.Literal('tracker'), sub: SubjectSchema });
const claimsOfTracker = TypeCompiler.Compile(Type.Composite([TrackerClaimsSchema, LifetimeSchema]));
const LIFETIME_SECONDS = 30 * 24 * 60 * 60;

/**
 * Makes a tracker's bearer token, valid for 30 days. Whoever knows an address can have one,
 * so it names the account by its id only and counts for it, nothing more.
 */
export function issueTrackerToken(app: FastifyInstance, userId: string): string {
  const claims: Static<typeof TrackerClaimsSchema> = { aud: 'tracker', sub: userId };
  return app.jwt.sign(claims, { expiresIn: LIFETIME_SECONDS });
}

/** Id of the account a guarded request counts for; whether it still exists is asked with the effect. */
export function trackedUserOf(request: FastifyRequest): string {
  return request.getDecorator<string>('trackedUser');
}

/** Whom a token counts for. @throws {ApiError} TRACKER_TOKEN_INVALID for every token that is no tracker's */
function trackedUserIn(app: FastifyInstance, token: string): string {
  const claims = claimsIn(app, token);
  if (claimsOfTracker.Check(claims) && hasLifetimeWithin(claims, LIFETIME_SECONDS)) return claims.sub;
  throw new ApiError('TRACKER_TOKEN_INVALID');
}

function claimsIn(app: FastifyInstance, token: string): unknown {
  try {
    return verifiedClaims(app, token);
  } catch (error) {
    throw new ApiError('TRACKER_TOKEN_INVALID', { cause: error });
  }
}

/** Guards every route of the scope: without a bearer token 401, with one that is no tracker's 403, as contract 2 says. */
export function requireTracker(app: FastifyInstance): void {
  app.decorateRequest('trackedUser');
  app.addHook('onRequest', async (request) => {
    request.setDecorator<string>('trackedUser', trackedUserIn(app, bearerTokenOf(request)));
  });
}
