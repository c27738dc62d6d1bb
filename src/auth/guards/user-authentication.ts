import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Caller } from '../../platform/database/client/caller.js';
import type { Database } from '../../platform/database/client/database.js';
import { ApiError } from '../../platform/errors.js';
import { looksLikeApiKey } from '../api-keys/api-key.js';
import { createApiKeyOwners } from '../api-keys/api-key-owners.js';
import { type ApiKeyScope, opens } from '../api-keys/scopes.js';
import { readUserTokenEnd, verifyUserToken } from '../tokens/user-tokens.js';
import { parseBearerToken } from './bearer.js';

const AUTHENTICATE = 'authenticateUser';

/** Finds the person a token stands for, if it opens what needs that scope. */
type AuthenticateUser = (token: string, scope: ApiKeyScope | undefined) => Promise<Caller>;

/**
 * Returns the person a request's token stands for: the access token of a session, or an API key.
 * @param scope what an API key needs; none will do where it is undefined
 * @param parseToken finds the token in the request
 * @throws {ApiError} MISSING_TOKEN, INVALID_TOKEN, INSUFFICIENT_SCOPE
 */
export async function authenticateUser(
  app: FastifyInstance,
  request: FastifyRequest,
  scope: ApiKeyScope | undefined,
  parseToken = parseBearerToken,
): Promise<Caller> {
  return app.getDecorator<AuthenticateUser>(AUTHENTICATE)(parseToken(request), scope);
}

/** Rejects a key that does not open what is asked for. @throws {ApiError} INSUFFICIENT_SCOPE */
function requireScope(scopes: readonly ApiKeyScope[], scope: ApiKeyScope | undefined): void {
  if (opens(scopes, scope)) return;
  if (scope === undefined) throw new ApiError('INSUFFICIENT_SCOPE', { sentence: 'No API key opens this; log in' });
  const sentence = `This needs an API key with the scope ${scope}`;
  throw new ApiError('INSUFFICIENT_SCOPE', { sentence, extras: { scope } });
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
  const authenticate: AuthenticateUser = async (token, scope) => {
    if (!looksLikeApiKey(token)) return verifyUserToken(app, token, accessSeconds);
    const { scopes, ...owner } = await findApiKeyOwner(token);
    requireScope(scopes, scope);
    return owner;
  };
  app.decorate(AUTHENTICATE, authenticate);
};

/** Lets the application tell who a user is, for the guards of users. */
export default fp(userAuthentication, { name: 'user-authentication', dependencies: ['client-tokens'] });
