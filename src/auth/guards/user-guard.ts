import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Caller } from '../../platform/database/client/caller.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import { parseBearerToken, parseTokenOrKey, requireBearer } from './bearer.js';
import { authenticateUser } from './user-authentication.js';

const USER = 'authenticatedUser';

/** Returns the person a guarded request comes from. */
export function getUser(request: FastifyRequest): Caller {
  return request.getDecorator<Caller>(USER);
}

/** Returns the person a request comes from where its scope accepts one; undefined for a request without a bearer token. */
export function getOptionalUser(request: FastifyRequest): Caller | undefined {
  return request.getDecorator<Caller | undefined>(USER);
}

/** Lets anonymous requests pass; a bearer token that is there has to be a user's, before the body is read. */
export function acceptUser(scope: FastifyInstance): void {
  describeRoutes(scope, { security: [{}, { userToken: [] }] });
  scope.decorateRequest(USER);
  scope.addHook('onRequest', async (request) => {
    if (request.headers.authorization === undefined) return;
    request.setDecorator<Caller>(USER, await authenticateUser(scope, request));
  });
}

/**
 * Guards every route of the scope: only requests with a user's access token or API key pass, others get 401.
 * @param acceptsKeyHeader whether the token may come in the header `x-api-key` as well
 */
export function requireUser(scope: FastifyInstance, { acceptsKeyHeader = false } = {}): void {
  const parseToken = acceptsKeyHeader ? parseTokenOrKey : parseBearerToken;
  requireBearer<Caller>(scope, {
    scheme: 'userToken',
    acceptsKeyHeader,
    decorator: USER,
    authenticate: (request) => authenticateUser(scope, request, parseToken),
  });
}
