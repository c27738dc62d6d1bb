import { type Static, Type } from '@sinclair/typebox';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { FastifyInstance } from 'fastify';
import { hasLifetimeWithin, LifetimeSchema, SubjectSchema, TokenVersionSchema } from './claims.js';
import { verifyClientToken } from './client-tokens.js';
import { createWrongKindError } from './wrong-kind.js';

/** How long an admin's session lasts, in seconds, unless it is ended before. */
export const ADMIN_SESSION_SECONDS = 12 * 60 * 60;

/** What an admin may do, each what the ones before it may: read, act, manage admins. */
export const ADMIN_ROLES = ['viewer', 'operator', 'owner'] as const;
export const AdminRoleSchema = Type.Union(
  ADMIN_ROLES.map((role) => Type.Literal(role)),
  { description: 'viewer reads, operator also acts, owner also manages admins.' },
);
export type AdminRole = Static<typeof AdminRoleSchema>;

/** The session of an admin as SQL opens it. */
export const AdminSessionClaimsSchema = Type.Object({
  id: SubjectSchema,
  version: TokenVersionSchema,
  session_id: SubjectSchema,
  role: AdminRoleSchema,
  second_factor: Type.Boolean({ description: 'Whether a second factor was shown.' }),
});
export type AdminSessionClaims = Static<typeof AdminSessionClaimsSchema>;

const ClaimsSchema = Type.Object({
  aud: Type.Literal('admin'),
  sub: SubjectSchema,
  ver: TokenVersionSchema,
  sid: SubjectSchema,
  role: AdminRoleSchema,
  mfa: Type.Boolean(),
});
const compiled = TypeCompiler.Compile(Type.Composite([ClaimsSchema, LifetimeSchema]));

/** Signs the bearer token of an admin's session. */
export function signAdminToken(app: FastifyInstance, admin: AdminSessionClaims): string {
  const { id, version, session_id, role, second_factor } = admin;
  const claims: Static<typeof ClaimsSchema> = {
    aud: 'admin',
    sub: id,
    ver: version,
    sid: session_id,
    role,
    mfa: second_factor,
  };
  return app.jwt.sign(claims, { expiresIn: ADMIN_SESSION_SECONDS });
}

/**
 * Verifies an admin's token and returns what it says; whether its session goes on is checked with each effect.
 * @throws {ApiError} INVALID_TOKEN
 */
export function verifyAdminToken(app: FastifyInstance, token: string): AdminSessionClaims {
  const claims = verifyClientToken(app, token);
  if (!compiled.Check(claims) || !hasLifetimeWithin(claims, ADMIN_SESSION_SECONDS)) {
    throw createWrongKindError(claims, 'admin');
  }
  const { sub: id, ver: version, sid: session_id, role, mfa: second_factor } = claims;
  return { id, version, session_id, role, second_factor };
}
