import { randomUUID } from 'node:crypto';
import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import type { TestServer } from './http/test-server.js';
import { USUAL_PASSWORD } from './light-passwords.js';

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** A person with an account, logged in. */
export interface TestUser {
  readonly id: string;
  readonly email: string;
  readonly password: string;
  readonly token: string;
  readonly refreshToken: string;
  /** Sends a request with the access token. */
  readonly as: (
    method: Method,
    url: string,
    payload?: InjectOptions['payload'],
    headers?: InjectOptions['headers'],
  ) => Promise<LightMyRequestResponse>;
}

/** Sends a request with a bearer token, or without one. */
export function sendWith(
  server: TestServer,
  token: string | undefined,
  method: Method,
  url: string,
  payload?: InjectOptions['payload'],
  headers?: InjectOptions['headers'],
): Promise<LightMyRequestResponse> {
  return server.app.inject({
    method,
    url,
    headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers },
    ...(payload !== undefined && { payload }),
  });
}

/** Registers an account, with an address of its own unless one is given. */
export async function registerUser(
  server: TestServer,
  overrides: { readonly email?: string; readonly password?: string; readonly name?: string } = {},
): Promise<TestUser> {
  const email = overrides.email ?? `${randomUUID()}@example.com`;
  const password = overrides.password ?? USUAL_PASSWORD;
  const payload = { email, password, ...(overrides.name !== undefined && { name: overrides.name }) };
  const response = await server.app.inject({ method: 'POST', url: '/api/auth/register', payload });
  if (response.statusCode !== 201) throw new Error(`registering answered ${response.statusCode}: ${response.payload}`);
  const { token, refresh_token, user } = response.json<{
    token: string;
    refresh_token: string;
    user: { id: string; email: string };
  }>();
  return {
    id: user.id,
    email: user.email,
    password,
    token,
    refreshToken: refresh_token,
    as: (method, url, body, headers) => sendWith(server, token, method, url, body, headers),
  };
}

/** Creates an API key for a person and returns it; it opens everything unless scopes are given. */
export async function createApiKey(
  user: TestUser,
  name = 'Script',
  scopes: readonly string[] = ['account'],
): Promise<string> {
  const response = await user.as('POST', '/api/users/me/api-keys', { name, scopes });
  return response.json<{ key: string }>().key;
}
