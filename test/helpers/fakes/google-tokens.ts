import { randomUUID } from 'node:crypto';
import type { LightMyRequestResponse } from 'fastify';
import type { Test } from 'tap';
import type { TestServer } from '../http/test-server.js';
import { type MoodyServer, openMoodyServer } from './fault-server.js';

export const CLIENT_ID = 'our-client.apps.googleusercontent.com';

/** What Google says about an access token, and about the person behind it. */
interface Known {
  readonly info: Readonly<Record<string, unknown>>;
  readonly profile: Readonly<Record<string, unknown>>;
}

/** A fake of Google's endpoints about access tokens. */
export interface GoogleTokens extends MoodyServer {
  /** The settings that point the server under test to it. */
  readonly environment: Record<string, string>;
  /** Makes an access token as Google would for our client; what is given replaces what Google says of it. */
  readonly issue: (info?: Known['info'], profile?: Known['profile']) => string;
  /** Returns how often it was asked about a token. */
  readonly requestCount: (token: string) => number;
}

/** Starts the fake; it ends with the test. */
export async function openGoogleTokens(t: Test): Promise<GoogleTokens> {
  const tokens = new Map<string, Known>();
  const asked: string[] = [];
  const google = await openMoodyServer(t, ({ url, body, authorization }) => {
    const token = authorization?.replace('Bearer ', '') ?? '';
    if (url.pathname === '/userinfo') return tokens.get(token)?.profile ?? { status: 401, error: 'invalid_request' };
    if (url.pathname !== '/tokeninfo' || new URLSearchParams(body).get('access_token') !== token) return undefined;
    asked.push(token);
    return tokens.get(token)?.info ?? { status: 400, error: 'invalid_token' };
  });
  return {
    ...google,
    environment: {
      GOOGLE_CLIENT_ID: CLIENT_ID,
      GOOGLE_TOKENINFO_URL: `${google.url}/tokeninfo`,
      GOOGLE_USERINFO_URL: `${google.url}/userinfo`,
    },
    issue: (info = {}, profile = {}) => {
      const token = `ya29.${randomUUID()}`;
      const claims = { sub: randomUUID(), email: `${randomUUID()}@example.com`, ...info };
      // As Google spells it: numbers and booleans are texts.
      const standard = { azp: CLIENT_ID, aud: CLIENT_ID, expires_in: '3599', email_verified: 'true', scope: 'openid' };
      const person = { sub: claims.sub, name: 'John Doe', picture: 'https://lh3.googleusercontent.com/a', ...profile };
      tokens.set(token, { info: { ...standard, ...claims }, profile: person });
      return token;
    },
    requestCount: (token) => asked.filter((one) => one === token).length,
  };
}

/** Signs in at the server under test with an access token. */
export function authenticate(server: Pick<TestServer, 'app'>, access_token: string): Promise<LightMyRequestResponse> {
  return server.app.inject({ method: 'POST', url: '/api/auth/google', payload: { access_token } });
}
