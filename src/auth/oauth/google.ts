import {
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  ClientSecretPost,
  type Configuration,
  calculatePKCECodeChallenge,
  discovery,
  enableNonRepudiationChecks,
  fetchUserInfo,
} from 'openid-client';
import { parseIdentity } from './external-identity.js';
import {
  createOutage,
  createRefusal,
  PROVIDER_TIMEOUT_SECONDS,
  type SignInProvider,
  withProviderErrors,
} from './provider.js';

/** The OAuth client at Google, and its issuer. */
export interface GoogleClient {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** The address registered with Google, to which it sends browsers back. */
  readonly callbackUrl: string;
}

/** Asks when first needed and remembers the answer; a failure is forgotten, so that the next request asks anew. */
function remembered<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined;
  return () => {
    answer ??= ask().catch((error: unknown) => {
      answer = undefined;
      throw error;
    });
    return answer;
  };
}

async function discover({ issuer, clientId, clientSecret }: GoogleClient): Promise<Configuration> {
  const address = new URL(issuer);
  const found = discovery(address, clientId, undefined, ClientSecretPost(clientSecret), {
    timeout: PROVIDER_TIMEOUT_SECONDS,
    // Without the first the ID token's signature is not looked at. The configuration allows http on this machine only.
    execute: [enableNonRepudiationChecks, ...(address.protocol === 'http:' ? [allowInsecureRequests] : [])],
  });
  return found.catch((error: unknown) => {
    throw createOutage('Google', error);
  });
}

/** Creates the sign-in with Google, as OpenID Connect describes it: code flow with PKCE, state and nonce. */
export function createGoogleProvider(client: GoogleClient): SignInProvider {
  const configuration = remembered(() => discover(client));
  return {
    authorizationUrl: ({ state, codeVerifier, nonce }) =>
      withProviderErrors('Google', async () =>
        buildAuthorizationUrl(await configuration(), {
          redirect_uri: client.callbackUrl,
          scope: 'openid email profile',
          state,
          nonce,
          code_challenge: await calculatePKCECodeChallenge(codeVerifier),
          code_challenge_method: 'S256',
        }),
      ),
    identity: (search, { state, codeVerifier, nonce }) =>
      withProviderErrors('Google', async () => {
        const google = await configuration();
        const answer = new URL(search, client.callbackUrl);
        const checks = { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: codeVerifier };
        const tokens = await authorizationCodeGrant(google, answer, { ...checks, idTokenExpected: true });
        const claims = tokens.claims();
        if (claims === undefined) throw createRefusal();
        // OpenID Connect Core, §5.4: what a scope asks for may be in the ID token, and is at the userinfo endpoint.
        const person = 'email' in claims ? claims : await fetchUserInfo(google, tokens.access_token, claims.sub);
        const identity = parseIdentity('google', person);
        if (identity === undefined) throw createRefusal();
        return identity;
      }),
  };
}
