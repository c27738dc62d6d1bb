import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Caller } from '../../platform/database/client/caller.js';
import type { Database } from '../../platform/database/client/database.js';
import { looksLikeApiKey } from '../api-keys/api-key.js';
import { createApiKeyOwners } from '../api-keys/api-key-owners.js';
import { readUserTokenEnd, verifyUserToken } from '../tokens/user-tokens.js';
import { parseBearerToken } from './bearer.js';

const AUTHENTICATE = 'authenticateUser';

/** Finds the person a token stands for. */
type AuthenticateUser = (token: string) => Promise<Caller>;

/**
 * Returns the person a request's token stands for: the access token of a session, or an API key.
 * @param parseToken finds the token in the request
 * @throws {ApiError} MISSING_TOKEN, INVALID_TOKEN
 */
export async function authenticateUser(
  app: FastifyInstance,
  request: FastifyRequest,
  parseToken = parseBearerToken,
): Promise<Caller> {
  return app.getDecorator<AuthenticateUser>(AUTHENTICATE)(parseToken(request));
}

/**
 * Returns when the credential of a guarded request expires by itself, in milliseconds since 1970: never for an API key,
 * whose end only the database knows.
 */
export function getCredentialEnd(app: FastifyInstance, request: FastifyRequest): number {
  const token = parseBearerToken(request);
  return looksLikeApiKey(token) ? Number.POSITIVE_INFINITY : readUserTokenEnd(app, token);
}

/** Dependencies of telling who a user is. */
interface UserAuthenticationOptions {
  readonly database: Database;
  /** Longest life an access token may claim, in seconds. */
  readonly accessSeconds: number;
}

const userAuthentication: FastifyPluginAsync<UserAuthenticationOptions> = async (app, { database, accessSeconds }) => {
  const findApiKeyOwner = createApiKeyOwners(database);
  app.decorate(AUTHENTICATE, async (token: string) =>
    looksLikeApiKey(token) ? findApiKeyOwner(token) : verifyUserToken(app, token, accessSeconds),
  );
};

/** Lets the application tell who a user is, for the guards of users. */
export default fp(userAuthentication, { name: 'user-authentication', dependencies: ['client-tokens'] });
