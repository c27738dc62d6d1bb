import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Caller } from '../../platform/database/client/caller.js';
import { ApiError } from '../../platform/errors.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import type { ApiKeyScope } from '../api-keys/scopes.js';
import type { Subject } from '../limits/policies.js';
import { admit } from '../limits/rate-limits.js';
import { parseTokenOrKey, requireBearer } from './bearer.js';
import { authenticateUser } from './user-authentication.js';

const USER = 'authenticatedUser';
const REFUSAL = 'refusedBearer';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The scope an API key needs to call the route; without one, no key opens it. */
    apiKeyScope?: ApiKeyScope;
  }
}

/** Returns the person a guarded request comes from. */
export function getUser(request: FastifyRequest): Caller {
  return request.getDecorator<Caller>(USER);
}

/** Returns the person a request comes from where its scope accepts one; undefined for a request without a bearer token. */
export function getOptionalUser(request: FastifyRequest): Caller | undefined {
  return request.getDecorator<Caller | undefined>(USER);
}

/** Returns why the bearer token of a request was refused that its scope lets pass all the same; undefined for any other. */
export function getRefusal(request: FastifyRequest): ApiError | undefined {
  return request.getDecorator<ApiError | undefined>(REFUSAL);
}

/** Returns whose limits a person's request counts against: the account's, and those of an API key. */
export function toSubjects(caller: Caller): Subject[] {
  const account: Subject = { kind: 'user', id: caller.id };
  return 'api_key_id' in caller ? [account, { kind: 'api-key', id: caller.api_key_id }] : [account];
}

/** Declares and documents what API keys need for the routes of a scope; what a route says itself wins. */
function declareApiKeyScope(
  scope: FastifyInstance,
  apiKeyScope: ApiKeyScope | undefined,
  { isOptional = false, acceptsKeyHeader = false },
): void {
  scope.addHook('onRoute', (route) => {
    const needed = route.config?.apiKeyScope ?? apiKeyScope;
    if (needed !== undefined) route.config = { ...route.config, apiKeyScope: needed };
    const security = [
      ...(isOptional ? [{}] : []),
      { userToken: [] },
      ...(needed === undefined ? [] : [{ apiKey: [needed] }]),
      ...(needed === undefined || !acceptsKeyHeader ? [] : [{ apiKeyHeader: [needed] }]),
    ];
    if (route.schema?.hide !== true) route.schema = { ...route.schema, security };
  });
}

const authenticate = (
  scope: FastifyInstance,
  request: FastifyRequest,
  parseToken?: (request: FastifyRequest) => string,
): Promise<Caller> => authenticateUser(scope, request, request.routeOptions.config.apiKeyScope, parseToken);

/** Keeps why a bearer token is none; throws everything else. */
function keepRefusal(request: FastifyRequest, error: unknown): undefined {
  if (!(error instanceof ApiError && error.code === 'INVALID_TOKEN')) throw error;
  request.setDecorator<ApiError>(REFUSAL, error);
}

/**
 * Lets anonymous requests pass; a bearer token that is there has to be a user's, before the body is read.
 * @param apiKeyScope what API keys need, unless a route's `config` says otherwise; without it they open nothing
 * @param options.judgesLater whether one that is over passes as anonymous: its routes see `getRefusal`, and what is in
 * the body may count instead
 */
export function acceptUser(scope: FastifyInstance, apiKeyScope?: ApiKeyScope, { judgesLater = false } = {}): void {
  declareApiKeyScope(scope, apiKeyScope, { isOptional: true });
  describeRoutes(scope, {});
  scope.decorateRequest(USER);
  scope.decorateRequest(REFUSAL);
  scope.addHook('onRequest', async (request, reply) => {
    if (request.headers.authorization === undefined) return;
    const authenticated = authenticate(scope, request);
    const caller = await (judgesLater
      ? authenticated.catch((error: unknown) => keepRefusal(request, error))
      : authenticated);
    if (caller === undefined) return;
    await admit(request, reply, toSubjects(caller));
    request.setDecorator<Caller>(USER, caller);
  });
}

/**
 * Guards every route of the scope: only requests with a user's access token, or an API key that opens the route, pass;
 * others get 401 or 403.
 * @param apiKeyScope what API keys need, unless a route's `config` says otherwise; without it they open nothing
 * @param acceptsKeyHeader whether the token may come in the header `x-api-key` as well
 */
export function requireUser(
  scope: FastifyInstance,
  apiKeyScope?: ApiKeyScope,
  { acceptsKeyHeader = false } = {},
): void {
  declareApiKeyScope(scope, apiKeyScope, { acceptsKeyHeader });
  requireBearer<Caller>(scope, {
    scheme: 'userToken',
    decorator: USER,
    authenticate: (request) => authenticate(scope, request, acceptsKeyHeader ? parseTokenOrKey : undefined),
    toSubjects,
  });
}
