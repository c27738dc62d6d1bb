import type { LightMyRequestResponse } from 'fastify';
import { OAuth2Server } from 'oauth2-mock-server';
import type { Test } from 'tap';
import type { TestServer } from './http/test-server.js';

/** The address at which clients of the tests wait for their codes. */
export const REDIRECT_URI = 'https://abcdefghijklmnop.chromiumapp.org/signed-in';
/** A `code_verifier` and its `code_challenge` (RFC 7636, appendix B). */
export const VERIFIER = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk';
export const CHALLENGE = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM';

/** An account at Google. */
export interface Person {
  readonly sub: string;
  readonly email: string;
  readonly email_verified: boolean;
  readonly name?: string;
  readonly picture?: string;
}

export const ADA: Person = {
  sub: '110169484474386276334',
  email: 'Ada@Example.com',
  email_verified: true,
  name: 'Ada Lovelace',
  picture: 'https://lh3.googleusercontent.com/ada',
};

/** Google, played by an OpenID Connect server on this machine. */
export interface TestGoogle {
  readonly oauth: OAuth2Server;
  /** The settings that point the server under test to it. */
  readonly environment: Record<string, string>;
  /** Chooses who signs in from now on. */
  readonly setPerson: (person: Person) => void;
}

interface Token {
  readonly payload: Record<string, unknown>;
}

/** Starts a Google that signs in everybody who comes; it ends with the test. */
export async function openGoogle(t: Test): Promise<TestGoogle> {
  const oauth = new OAuth2Server();
  await oauth.issuer.keys.generate('RS256');
  await oauth.start(0, '127.0.0.1');
  t.after(() => oauth.listening && oauth.stop());
  let person = ADA;
  oauth.service.on('beforeTokenSigning', (token: Token) => Object.assign(token.payload, person));
  return {
    oauth,
    environment: {
      GOOGLE_ISSUER: oauth.issuer.url ?? '',
      GOOGLE_CLIENT_ID: 'our-client.apps.googleusercontent.com',
      GOOGLE_CLIENT_SECRET: 'our-secret',
      PUBLIC_URL: 'https://tokens.example.com/',
      OAUTH_REDIRECT_URIS: 'https://abcdefghijklmnop.chromiumapp.org/',
    },
    setPerson: (next) => {
      person = next;
    },
  };
}

/** Begins a sign-in as a browser does. */
export function beginSignIn(
  server: Pick<TestServer, 'app'>,
  query: Readonly<Record<string, string>> = {},
  provider = 'google',
): Promise<LightMyRequestResponse> {
  return server.app.inject({ url: `/api/auth/oauth/${provider}?${new URLSearchParams(query)}` });
}

/** Follows a redirect to the provider and returns the address the provider sends the browser back to. */
export async function visitProvider(response: LightMyRequestResponse): Promise<URL> {
  const visited = await fetch(String(response.headers.location), { redirect: 'manual' });
  return new URL(visited.headers.get('location') ?? '');
}

/** Follows the provider's redirect back to the server under test. */
export function returnToServer(server: Pick<TestServer, 'app'>, address: URL): Promise<LightMyRequestResponse> {
  return server.app.inject({ url: `${address.pathname}${address.search}` });
}

/** Runs a whole sign-in, up to the server's response when the browser comes back. */
export async function signIn(
  server: Pick<TestServer, 'app'>,
  query: Readonly<Record<string, string>> = {},
  provider = 'google',
): Promise<LightMyRequestResponse> {
  return returnToServer(server, await visitProvider(await beginSignIn(server, query, provider)));
}

/** Reads what a redirect tells the client at its address. */
export function readRedirect(response: LightMyRequestResponse): URLSearchParams {
  return new URL(String(response.headers.location)).searchParams;
}

/** Signs in for a client that waits at {@link REDIRECT_URI}; returns its code. */
export async function obtainCode(
  server: Pick<TestServer, 'app'>,
  query: Readonly<Record<string, string>> = {},
): Promise<string> {
  const response = await signIn(server, { redirect_uri: REDIRECT_URI, ...query });
  return readRedirect(response).get('code') ?? '';
}

/** Exchanges a code for tokens. */
export function exchangeCode(server: Pick<TestServer, 'app'>, payload: object): Promise<LightMyRequestResponse> {
  return server.app.inject({ method: 'POST', url: '/api/auth/oauth/token', payload });
}

/**
 * Follows a sign-in as a browser does, from a server that listens to where the client waits.
 * @returns the address that the client is brought back to
 */
export async function followSignIn(
  server: { readonly url: string; readonly publicUrl: string },
  address: string,
  redirectUri: string,
): Promise<string> {
  let at = address;
  while (!at.startsWith(redirectUri)) {
    const { headers } = await fetch(at.replace(server.publicUrl, server.url), { redirect: 'manual' });
    at = String(headers.get('location'));
  }
  return at;
}
