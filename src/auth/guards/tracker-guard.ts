import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from '../../platform/errors.js';
import {
  hasLifetimeWithin,
  LifetimeSchema,
  SubjectSchema,
  TokenVersionSchema,
  type VersionedSubject,
} from '../tokens/claims.js';
import { verifyClientToken } from '../tokens/client-tokens.js';
import { createWrongKindError } from '../tokens/wrong-kind.js';
import { parseBearerToken, requireBearer } from './bearer.js';

const TrackerClaimsSchema = Type.Object({
  aud: Type.Literal('tracker'),
  sub: SubjectSchema,
  ver: Type.Optional(TokenVersionSchema),
});
const trackerClaims = TypeCompiler.Compile(Type.Composite([TrackerClaimsSchema, LifetimeSchema]));
const LIFETIME_SECONDS = 30 * 24 * 60 * 60;
const TRACKED_ACCOUNT = 'trackedAccount';
/** What tokens stand for that were made before they carried a version. */
const FIRST_VERSION = 1;

/**
 * Signs a tracker's bearer token, valid for 30 days or until the account's version changes. Whoever knows an address can have one,
 * so it names the account by its id only and counts for it, nothing more.
 */
export function signTrackerToken(app: FastifyInstance, { id, version }: VersionedSubject): string {
  const claims: Static<typeof TrackerClaimsSchema> = { aud: 'tracker', sub: id, ver: version };
  return app.jwt.sign(claims, { expiresIn: LIFETIME_SECONDS });
}

/** Returns the account a guarded request counts for; whether it still takes this version is checked with the effect. */
export function getTrackedAccount(request: FastifyRequest): VersionedSubject {
  return request.getDecorator<VersionedSubject>(TRACKED_ACCOUNT);
}

function verifyClaims(app: FastifyInstance, token: string): unknown {
  try {
    return verifyClientToken(app, token);
  } catch (error) {
    throw new ApiError('TRACKER_TOKEN_INVALID', { cause: error });
  }
}

/** Returns the account a token counts for. @throws {ApiError} TRACKER_TOKEN_INVALID for every token that is no tracker's */
function verifyTrackerToken(app: FastifyInstance, token: string): VersionedSubject {
  const claims = verifyClaims(app, token);
  if (trackerClaims.Check(claims) && hasLifetimeWithin(claims, LIFETIME_SECONDS)) {
    return { id: claims.sub, version: claims.ver ?? FIRST_VERSION };
  }
  throw createWrongKindError(claims, 'tracker', 'TRACKER_TOKEN_INVALID');
}

/** Guards every route of the scope: without a bearer token 401, with one that is no tracker's 403, as contract 2 says. */
export function requireTracker(scope: FastifyInstance): void {
  requireBearer<VersionedSubject>(scope, {
    scheme: 'trackerToken',
    decorator: TRACKED_ACCOUNT,
    authenticate: (request) => verifyTrackerToken(scope, parseBearerToken(request)),
    toSubjects: ({ id }) => [{ kind: 'tracker', id }],
  });
}
