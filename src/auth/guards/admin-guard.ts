import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from '../../platform/errors.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { parseBearerToken } from '../tokens/bearer-token.js';
import { SubjectSchema, TokenVersionSchema } from '../tokens/claim-schemas.js';
import { verifyClientToken } from '../tokens/client-tokens.js';

const AdminClaimsSchema = Type.Object({
  aud: Type.Literal('admin'),
  sub: SubjectSchema,
  ver: TokenVersionSchema,
});
const adminClaims = TypeCompiler.Compile(AdminClaimsSchema);

/** How long an admin token lasts, in seconds, unless the password changes or the admin is removed before. */
export const ADMIN_TOKEN_SECONDS = 12 * 60 * 60;

/** An admin as the SQL functions take it; they check that the admin still is one. */
export type Actor = { readonly id: string; readonly version: number; readonly request_id: string };

/** Signs the bearer token of an admin. */
export function signAdminToken(app: FastifyInstance, admin: { readonly id: string; readonly version: number }): string {
  const claims: Static<typeof AdminClaimsSchema> = { aud: 'admin', sub: admin.id, ver: admin.version };
  return app.jwt.sign(claims, { expiresIn: ADMIN_TOKEN_SECONDS });
}

/** Returns the admin a guarded request comes from. */
export function getActor(request: FastifyRequest): Actor {
  return request.getDecorator<Actor>('actor');
}

/** Guards every route of the scope: only requests with an admin token pass, others get 401. */
export function requireAdmin(scope: FastifyInstance): void {
  describeRoutes(scope, { security: [{ adminToken: [] }] });
  scope.decorateRequest('actor');
  scope.addHook('onRequest', async (request) => {
    const claims = verifyClientToken(scope, parseBearerToken(request));
    if (!adminClaims.Check(claims)) throw new ApiError('INVALID_TOKEN');
    request.setDecorator<Actor>('actor', { id: claims.sub, version: claims.ver, request_id: request.id });
  });
}
