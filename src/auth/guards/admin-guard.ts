import type { FastifyInstance, FastifyRequest } from 'fastify';
import { createVersionedTokens, type VersionedSubject } from '../tokens/versioned-tokens.js';
import { parseBearerToken, requireBearer } from './bearer.js';

const adminTokens = createVersionedTokens('admin');
const ADMIN = 'actor';

/** How long an admin token lasts, in seconds, unless the password changes or the admin is removed before. */
export const ADMIN_TOKEN_SECONDS = 12 * 60 * 60;

/** An admin as the SQL functions take it; they check that the admin still is one. */
export type Actor = { readonly id: string; readonly version: number; readonly request_id: string };

/** Signs the bearer token of an admin. */
export function signAdminToken(app: FastifyInstance, admin: VersionedSubject): string {
  return adminTokens.sign(app, admin, ADMIN_TOKEN_SECONDS);
}

/** Returns the admin a guarded request comes from. */
export function getActor(request: FastifyRequest): Actor {
  return request.getDecorator<Actor>(ADMIN);
}

/** Guards every route of the scope: only requests with an admin token pass, others get 401. */
export function requireAdmin(scope: FastifyInstance): void {
  requireBearer<Actor>(scope, {
    scheme: 'adminToken',
    decorator: ADMIN,
    authenticate: (request) => ({
      ...adminTokens.verify(scope, parseBearerToken(request)),
      request_id: request.id,
    }),
    toSubjects: ({ id }) => [{ kind: 'admin', id }],
  });
}
