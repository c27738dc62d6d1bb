import type { FastifyInstance, FastifyRequest } from 'fastify';
import { secondsOf } from '../../config/config.js';
import type { Services } from '../../services.js';
import { looksLikeApiKey } from '../api-keys/api-key.js';
import { bearerTokenOf } from '../tokens/bearer-token.js';
import { endOfUserToken, userOfToken } from '../tokens/user-tokens.js';
import type { UserIdentity } from './user-identity.js';

/**
 * The person a bearer token stands for: the access token of a session, or an API key.
 * @throws {ApiError} MISSING_TOKEN, INVALID_TOKEN
 */
export async function authenticateUser(
  app: FastifyInstance,
  services: Services,
  request: FastifyRequest,
): Promise<UserIdentity> {
  const token = bearerTokenOf(request);
  if (looksLikeApiKey(token)) return services.keyHolders(token);
  return userOfToken(app, token, secondsOf(services.config.JWT_EXPIRES_IN));
}

/** The person a guarded request comes from. */
export function userOf(request: FastifyRequest): UserIdentity {
  return request.getDecorator<UserIdentity>('user_identity');
}

/**
 * When the credential of a guarded request is over by itself, in milliseconds since 1970: never for an API key, whose
 * end is the database's to know.
 */
export function credentialEnd(app: FastifyInstance, request: FastifyRequest): number {
  const token = bearerTokenOf(request);
  return looksLikeApiKey(token) ? Number.POSITIVE_INFINITY : endOfUserToken(app, token);
}

/** The person a request comes from where its scope accepts one; undefined for a request without a bearer token. */
export function givenUserOf(request: FastifyRequest): UserIdentity | undefined {
  return request.getDecorator<UserIdentity | undefined>('user_identity');
}

/** Lets requests of nobody pass; a bearer token that is there has to be a user's, before the body is read. */
export function acceptUser(app: FastifyInstance, services: Services): void {
  app.decorateRequest('user_identity');
  app.addHook('onRequest', async (request) => {
    if (request.headers.authorization === undefined) return;
    request.setDecorator<UserIdentity>('user_identity', await authenticateUser(app, services, request));
  });
}

/** Guards every route of the scope: only requests with a user's access token or API key pass, others get 401. */
export function requireUser(app: FastifyInstance, services: Services): void {
  app.decorateRequest('user_identity');
  app.addHook('onRequest', async (request) => {
    request.setDecorator<UserIdentity>('user_identity', await authenticateUser(app, services, request));
  });
}
