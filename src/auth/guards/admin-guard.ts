import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from '../../platform/errors.js';
import { bearerTokenOf } from '../tokens/bearer-token.js';
import { SubjectSchema, TokenVersionSchema } from '../tokens/claim-schemas.js';
import { verifiedClaims } from '../tokens/client-tokens.js';

const AdminClaimsSchema = Type.Object({
  aud: Type.Literal('admin'),
  sub: SubjectSchema,
  ver: TokenVersionSchema,
});
const claimsOfAdmin = TypeCompiler.Compile(AdminClaimsSchema);

/** How long an admin token lasts, in seconds, unless the password changes or the admin is removed before. */
export const ADMIN_TOKEN_SECONDS = 12 * 60 * 60;

/** An admin as the SQL functions take it; they ask whether the admin still is one. */
export type Actor = { readonly id: string; readonly version: number; readonly request_id: string };

/** Makes the bearer token of an admin. */
export function issueAdminToken(
  app: FastifyInstance,
  admin: { readonly id: string; readonly version: number },
): string {
  const claims: Static<typeof AdminClaimsSchema> = { aud: 'admin', sub: admin.id, ver: admin.version };
  return app.jwt.sign(claims, { expiresIn: ADMIN_TOKEN_SECONDS });
}

/** The admin a guarded request comes from. */
export function actorOf(request: FastifyRequest): Actor {
  return request.getDecorator<Actor>('actor');
}

/** Guards every route of the scope: only requests with an admin token pass, others get 401. */
export function requireAdmin(app: FastifyInstance): void {
  app.decorateRequest('actor');
  app.addHook('onRequest', async (request) => {
    const claims = verifiedClaims(app, bearerTokenOf(request));
    if (!claimsOfAdmin.Check(claims)) throw new ApiError('INVALID_TOKEN');
    request.setDecorator<Actor>('actor', { id: claims.sub, version: claims.ver, request_id: request.id });
  });
}
