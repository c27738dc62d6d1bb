import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { ApiError } from '../../platform/errors.js';
import { ADMIN_ROLES, type AdminRole, type AdminSessionClaims, verifyAdminToken } from '../tokens/admin-tokens.js';
import { parseBearerToken, requireBearer } from './bearer.js';

const ADMIN = 'actor';
const SECOND_FACTOR_REQUIRED = 'adminSecondFactorRequired';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The role a route needs; `any` is open to every admin, also to one who has yet to set up a second factor. */
    adminRole?: AdminRole | 'any';
  }
}

/** An admin as the SQL functions take it; they check that the session goes on and that the role suffices. */
export type Actor = {
  readonly id: string;
  readonly version: number;
  readonly session_id: string;
  /** Whether the configuration asks for a second factor. */
  readonly second_factor_required: boolean;
  readonly request_id: string;
  readonly address: string;
};

const adminAuthentication: FastifyPluginAsync<{ secondFactor: 'optional' | 'required' }> = async (
  app,
  { secondFactor },
) => {
  app.decorate(SECOND_FACTOR_REQUIRED, secondFactor === 'required');
};

/** Lets the guard of admins know what the configuration asks of them. */
export default fp(adminAuthentication, { name: 'admin-authentication', dependencies: ['client-tokens'] });

/** Returns the admin a guarded request comes from. */
export function getActor(request: FastifyRequest): Actor {
  return request.getDecorator<Actor>(ADMIN);
}

/** Rejects admins a route is not open to. @throws {ApiError} SECOND_FACTOR_MISSING, INSUFFICIENT_ROLE */
function requireRole(admin: AdminSessionClaims, needed: AdminRole | 'any', isSecondFactorRequired: boolean): void {
  if (needed === 'any') return;
  if (isSecondFactorRequired && !admin.second_factor) throw new ApiError('SECOND_FACTOR_MISSING');
  if (ADMIN_ROLES.indexOf(admin.role) >= ADMIN_ROLES.indexOf(needed)) return;
  throw new ApiError('INSUFFICIENT_ROLE', { sentence: `This needs the role ${needed}`, extras: { role: needed } });
}

/**
 * Guards every route of the scope: only requests with the token of an admin whose role suffices pass, others get 401 or
 * 403. Reading needs a viewer and everything else an operator, unless a route's `config` says otherwise.
 */
export function requireAdmin(scope: FastifyInstance): void {
  scope.addHook('onRoute', (route) => {
    const isRead = [route.method].flat().every((method) => method === 'GET' || method === 'HEAD');
    const adminRole = route.config?.adminRole ?? (isRead ? 'viewer' : 'operator');
    route.config = { ...route.config, adminRole };
    route.schema = { ...route.schema, security: [{ adminToken: adminRole === 'any' ? [] : [adminRole] }] };
  });
  const isSecondFactorRequired = scope.getDecorator<boolean>(SECOND_FACTOR_REQUIRED);
  requireBearer<Actor>(scope, {
    scheme: 'adminToken',
    decorator: ADMIN,
    authenticate: (request) => {
      const admin = verifyAdminToken(scope, parseBearerToken(request));
      // A route that says nothing was not registered through this guard: only owners pass.
      requireRole(admin, request.routeOptions.config.adminRole ?? 'owner', isSecondFactorRequired);
      const { id, version, session_id } = admin;
      const { id: request_id, ip: address } = request;
      return { id, version, session_id, second_factor_required: isSecondFactorRequired, request_id, address };
    },
    toSubjects: ({ id }) => [{ kind: 'admin', id }],
  });
}
