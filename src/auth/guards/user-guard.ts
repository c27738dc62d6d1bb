import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Caller } from '../../platform/database/client/caller.js';
import { describeRoutes } from '../../platform/http/route-defaults.js';
import type { Subject } from '../limits/policies.js';
import { admit } from '../limits/rate-limits.js';
import { requireBearer } from './bearer.js';
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

/** Returns whose limits a person's request counts against: the account's, and those of an API key. */
function toSubjects(caller: Caller): Subject[] {
  const account: Subject = { kind: 'user', id: caller.id };
  return 'api_key_id' in caller ? [account, { kind: 'api-key', id: caller.api_key_id }] : [account];
}

/** Lets anonymous requests pass; a bearer token that is there has to be a user's, before the body is read. */
export function acceptUser(scope: FastifyInstance): void {
  describeRoutes(scope, { security: [{}, { userToken: [] }] });
  scope.decorateRequest(USER);
  scope.addHook('onRequest', async (request, reply) => {
    if (request.headers.authorization === undefined) return;
    const caller = await authenticateUser(scope, request);
    await admit(request, reply, toSubjects(caller));
    request.setDecorator<Caller>(USER, caller);
  });
}

/** Guards every route of the scope: only requests with a user's access token or API key pass, others get 401. */
export function requireUser(scope: FastifyInstance): void {
  requireBearer<Caller>(scope, {
    scheme: 'userToken',
    decorator: USER,
    authenticate: (request) => authenticateUser(scope, request),
    toSubjects,
  });
}
